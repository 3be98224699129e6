/** Whose HTTP/2 servers under test run on, where it is not the default: `vitest.config.ts` runs some files on both. */
export const transportUnderTest: { readonly transport?: string } =
  process.env.SIGNET_TEST_TRANSPORT === undefined ? {} : { transport: process.env.SIGNET_TEST_TRANSPORT };
