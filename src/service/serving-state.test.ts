import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { useDirectory } from "../../test/helpers/crooked.ts";
import { dataDirectory } from "../config/index.ts";
import { readServingState, removeServingState, type ServingState, writeServingState } from "./serving-state.ts";

function useData() {
  const data = dataDirectory(join(useDirectory(), "data"));
  mkdirSync(data.root);
  return data;
}

const state: ServingState = {
  licenseId: randomUUID(),
  sequence: 2,
  since: "2030-01-01T00:00:00.000Z",
  refused: { code: "LICENSE_EXPIRED", message: "license.lic: expired", at: "2030-01-02T00:00:00.000Z" },
};

test("what a running server says of its license is read as it was written, until it is removed", async () => {
  const data = useData();
  await writeServingState(data, state);
  expect(readServingState(data)).toEqual(state);
  removeServingState(data);
  expect(readServingState(data)).toBeNull();
});

test("what a server said that no longer runs is not believed, also where another process has its number", async () => {
  const data = useData();
  await writeServingState(data, state);
  const file = join(data.root, "serving.json");
  const written = JSON.parse(readFileSync(file, "utf8"));
  for (const change of [{ pid: 4_194_305 }, { startedTicks: "1" }]) {
    writeFileSync(file, JSON.stringify({ ...written, ...change }));
    expect(readServingState(data)).toBeNull();
  }
});

test("nonsense in its place says nothing", () => {
  const data = useData();
  for (const text of ["", "{", "null", '{"v":2}']) {
    writeFileSync(join(data.root, "serving.json"), text);
    expect(readServingState(data)).toBeNull();
  }
});
