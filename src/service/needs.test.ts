import { expect, test } from "vitest";
import { codeOf } from "../../test/helpers/code-of.ts";
import { parseConfig, serviceSettings } from "../config/index.ts";
import type { ServiceConf } from "../license/index.ts";
import { needsOf } from "./needs.ts";

const licensed = (needs?: ServiceConf["needs"]) => ({ name: "ocr", needs }) as unknown as ServiceConf;
const settings = (needs: object) => serviceSettings(parseConfig({ services: { ocr: { needs } } }, "test"), "ocr");

test("a service takes what its vendor declared, but for what the operator set", () => {
  const declared = licensed({ gpus: 1, gpuMemoryMiB: 3000, cpuCores: 2 });
  expect(needsOf(declared, settings({}))).toEqual({
    gpus: 1,
    gpuMemoryBytes: 3000 * 2 ** 20,
    cores: 2,
    memoryBytes: 0,
  });
  expect(needsOf(declared, settings({ gpuMemoryMiB: 4000, cpuCores: 0, memoryMiB: 100 }))).toEqual({
    gpus: 1,
    gpuMemoryBytes: 4000 * 2 ** 20,
    cores: 0,
    memoryBytes: 100 * 2 ** 20,
  });
  expect(needsOf(declared, settings({ gpus: 0, gpuMemoryMiB: 0 }))).toMatchObject({ gpus: 0, gpuMemoryBytes: 0 });
});

test("nothing is kept for a service of which nobody says anything", () => {
  expect(needsOf(licensed(), settings({}))).toEqual({ gpus: 0, gpuMemoryBytes: 0, cores: 0, memoryBytes: 0 });
});

test("a GPU without memory, or memory without a GPU, is no need that can be met", () => {
  expect(codeOf(() => needsOf(licensed(), settings({ gpus: 1 })))).toBe("CONFIG_INVALID");
  expect(codeOf(() => needsOf(licensed({ gpus: 1, gpuMemoryMiB: 5 }), settings({ gpus: 0 })))).toBe("CONFIG_INVALID");
});
