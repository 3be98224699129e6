import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import koffi, { type TypeObject } from "koffi";
import { describe, expect, test } from "vitest";
import * as abi from "../../src/plugin/abi.ts";
import { datatypes } from "../../src/tensor/index.ts";
import { nativeProgram } from "../helpers/native.ts";

interface Layout {
  readonly size: number;
  readonly offsets: Record<string, number>;
}

/** What the C compiler made of native/include/signet/plugin.h. */
const compiled = JSON.parse(execFileSync(nativeProgram("abi_layout"), { encoding: "utf8" })) as Record<string, Layout>;

const mirrored = {
  signet_tensor: abi.signetTensor,
  signet_file: abi.signetFile,
  signet_control: abi.signetControl,
  signet_create_args: abi.signetCreateArgs,
  signet_plugin: abi.signetPlugin,
};

function layoutOf(type: TypeObject): Layout {
  const members = Object.keys(type.members ?? {});
  return {
    size: koffi.sizeof(type),
    offsets: Object.fromEntries(members.map((member) => [member, koffi.offsetof(type, member)])),
  };
}

describe("the mirror of plugin.h", () => {
  test("has every struct that the header has", () => {
    expect(Object.keys(compiled).sort()).toEqual(Object.keys(mirrored).sort());
  });

  test.each(Object.entries(mirrored))("%s has the compiler's size, members and offsets", (name, type) => {
    expect(layoutOf(type as unknown as TypeObject)).toEqual(compiled[name]);
  });

  test("the sizes and offsets that packing code uses are the compiler's", () => {
    const { signet_tensor, signet_file, signet_control, signet_create_args, signet_plugin } = compiled;
    expect({
      tensor: abi.TENSOR_BYTES,
      file: abi.FILE_BYTES,
      control: abi.CONTROL_BYTES,
      createArgs: abi.CREATE_ARGS_BYTES,
      plugin: abi.PLUGIN_BYTES,
    }).toEqual({
      tensor: signet_tensor!.size,
      file: signet_file!.size,
      control: signet_control!.size,
      createArgs: signet_create_args!.size,
      plugin: signet_plugin!.size,
    });
    expect(abi.tensorOffsets).toEqual(signet_tensor!.offsets);
    const { cancel, progress_permille, stage, heartbeat, deadline_ns } = signet_control!.offsets;
    expect(abi.controlOffsets).toEqual({
      cancel,
      progressPermille: progress_permille,
      stage,
      heartbeat,
      deadlineNs: deadline_ns,
    });
  });

  test("the numbers are the header's", () => {
    const header = readFileSync(new URL("../../native/include/signet/plugin.h", import.meta.url), "utf8");
    const defined = (name: string) => Number(new RegExp(`^#define ${name} (\\d+)`, "m").exec(header)?.[1]);
    expect({
      abi: abi.SIGNET_ABI_VERSION,
      cpu: abi.DEVICE_CPU,
      cuda: abi.DEVICE_CUDA,
      ok: abi.SIGNET_OK,
      cancelled: abi.SIGNET_CANCELLED,
      outOfRange: abi.SIGNET_OUT_OF_RANGE,
    }).toEqual({
      abi: defined("SIGNET_ABI_VERSION"),
      cpu: defined("SIGNET_DEVICE_CPU"),
      cuda: defined("SIGNET_DEVICE_CUDA"),
      ok: defined("SIGNET_OK"),
      cancelled: defined("SIGNET_CANCELLED"),
      outOfRange: defined("SIGNET_OUT_OF_RANGE"),
    });
    expect(header).toContain(`signet_plugin *${abi.PLUGIN_SYMBOL}(void)`);
  });

  test("datatypes have the header's numbers", () => {
    const header = readFileSync(new URL("../../native/include/signet/plugin.h", import.meta.url), "utf8");
    for (const [name, { onnx }] of Object.entries(datatypes)) {
      expect(new RegExp(`^#define SIGNET_${name} (\\d+)`, "m").exec(header)?.[1], name).toBe(String(onnx));
    }
  });
});
