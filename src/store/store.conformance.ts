import { describe } from "vitest";
import { attemptConformance } from "./attempt.conformance.ts";
import { claimConformance } from "./claim.conformance.ts";
import { keepingConformance } from "./keeping.conformance.ts";
import { killConformance } from "./kill.conformance.ts";
import { modelConformance } from "./model.conformance.ts";
import { placementConformance } from "./placement.conformance.ts";
import type { StoreUnderTest } from "./store.fixture.ts";
import { submitConformance } from "./submit.conformance.ts";

/** What every store does, in the words of the interface. @param useEmpty makes an empty one until the test ends */
export function storeConformance(useEmpty: () => Promise<StoreUnderTest>): void {
  describe("submitting and finding", () => submitConformance(useEmpty));
  describe("claiming", () => claimConformance(useEmpty));
  describe("an attempt", () => attemptConformance(useEmpty));
  describe("sweeping, pruning and keeping", () => keepingConformance(useEmpty));
  describe("random verbs", () => modelConformance(useEmpty));
  describe("kill -9", () => killConformance(useEmpty));
  describe("placements", () => placementConformance(useEmpty));
}
