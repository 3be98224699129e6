import { defineConfig } from "vitest/config";

/** Tests of what clients see on the wire, which is the same on either HTTP/2. */
const onBothTransports = [
  "test/e2e/{batching,call-gate,flow,grpc-web,health,hostile-wire,metrics,shutdown,stream,tls}.test.ts",
  "test/security/connections.test.ts",
];

export default defineConfig({
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: "signet",
          include: ["src/**/*.test.ts", "tools/**/*.test.ts", "clients/**/*.test.ts", "test/**/*.test.ts"],
        },
      },
      {
        extends: true,
        test: { name: "transport: node", include: onBothTransports, env: { SIGNET_TEST_TRANSPORT: "node" } },
      },
    ],
    // Native libraries are loaded by some tests, so every test file runs in a process of its own.
    pool: "forks",
    // Tests start servers and service hosts; more files at a time than cores only makes them wait for each other.
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // A second, the default, is too short for a machine that has other things to do.
    expect: { poll: { interval: 20, timeout: 30_000 } },
    tags: [{ name: "attack", description: "an attack on the product, for the table of npm run attack" }],
    reporters: ["default", "./tools/dev/summary-reporter.ts"],
  },
});
