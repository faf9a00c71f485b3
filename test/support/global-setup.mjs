import { SharedServices } from './shared-services.ts';

/** Runs once before the integration tests: one broker for all of them, or a run that fails with the reason. */
export default async function globalSetup() {
  globalThis.sharedServices = await SharedServices.start(process.env);
}
