import { join } from "node:path";
import { field, formatMessage, integer } from "../fuzz/protobuf.ts";
import { type DescribedService, faultyService, identityService } from "../helpers/licensed-host.ts";
import { nativeLibrary } from "../helpers/native.ts";
import { datatypes } from "./tensors.ts";

const unlimited = { limits: { concurrency: 2 } };

function identity(name: string, datatype: string, shape: number[] = [-1], more: object = {}): DescribedService {
  return { ...identityService, ...unlimited, name, config: { datatype, shape }, ...more };
}

/** What the cases call: for each datatype a service of that name that answers with its input, and a few others. */
export function conformanceServices(directory: string): DescribedService[] {
  return [
    ...datatypes.map((datatype) => identity(datatype, datatype)),
    identity("scalar", "FP32", []),
    identity("matrix", "FP32", [-1, 3], {
      version: "7",
      parameters: { mean: "0.5", labels: "cat\ndog" },
      limits: { concurrency: 3 },
    }),
    identity("rows", "FP32", [-1, 3], { maxBatchSize: 4 }),
    identity("spent", "FP32", [-1], { limits: { runs: 1 } }),
    { ...faultyService, ...unlimited },
    {
      name: "two",
      library: nativeLibrary("onnxruntime"),
      dependencies: [nativeLibrary("onnxruntime").replace("libsignet_onnxruntime.so", "libonnxruntime.so.1")],
      models: [join(directory, "two.onnx")],
      config: { intraOpThreads: 1 },
      ...unlimited,
    },
  ];
}

/** An ONNX model of FP32 `x` with the outputs `same` and `negative` (field numbers as in onnx.proto). */
export function modelOfTwoOutputs(): Buffer {
  const vector = (name: string) => {
    const shape = field(2, [field(1, [field(2, "n")])]);
    return [field(1, name), field(2, [field(1, [integer(1, 1), shape])])];
  };
  const node = (type: string, output: string) => field(1, [field(1, "x"), field(2, output), field(4, type)]);
  const graph = [
    ...[node("Identity", "same"), node("Neg", "negative"), field(2, "two")],
    ...[field(11, vector("x")), field(12, vector("same")), field(12, vector("negative"))],
  ];
  return formatMessage([integer(1, 8), field(7, graph), field(8, [integer(2, 13)])]);
}
