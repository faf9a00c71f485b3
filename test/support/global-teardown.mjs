/** Runs once after the integration tests, in the process that ran the setup. */
export default async function globalTeardown() {
  await globalThis.sharedServices?.stop();
}
