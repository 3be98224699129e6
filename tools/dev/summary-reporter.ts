import type { Reporter, TestModule } from "vitest/node";

/**
 * Ends every test run with one plain line of counts. In CI a skipped test fails the run: whatever can be
 * skipped here must run there.
 */
export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const counts = { passed: 0, failed: 0, skipped: 0 };
    const skipped: string[] = [];
    for (const module of modules) {
      // A file that could not be loaded has no tests, but it failed all the same.
      if (module.errors().length > 0) counts.failed++;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === "pending") continue;
        counts[state]++;
        if (state === "skipped") skipped.push(`${module.relativeModuleId}: ${test.fullName}`);
      }
    }
    for (const name of skipped) console.log(`skipped: ${name}`);
    if (process.env.CI && skipped.length > 0) {
      console.log("CI runs every test: skipping is a failure there");
      process.exitCode = 1;
      counts.failed += skipped.length;
    }
    console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  }
}
