import type { Logger } from '../streams/logger.ts';

/** Variables by which the clouds' own clients would send somewhere else, unencrypted. */
const EMULATOR_VARIABLES = ['PUBSUB_EMULATOR_HOST', 'CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB'];

/** Takes them out of `env`, with a warning. Called before any client is made, unless emulators are allowed. */
export function removeEmulatorVariables(env: Record<string, string | undefined>, logger: Logger): void {
  for (const name of EMULATOR_VARIABLES) {
    if (env[name] === undefined) continue;
    delete env[name];
    logger.warn({}, `${name} is ignored, because SINKS_ALLOW_EMULATORS is false`);
  }
}
