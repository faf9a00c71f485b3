import type { Logger } from '../streams/logger.ts';

/** Variables by which the clouds' own clients would send somewhere else, unencrypted. */
const EMULATOR_VARIABLES = ['PUBSUB_EMULATOR_HOST', 'CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB'];
/** Variables by which they would show the machine's own identity, here a certificate that a command on it makes. */
const IDENTITY_VARIABLES = ['GOOGLE_API_USE_CLIENT_CERTIFICATE'];

/** Takes out of `env`, with a warning, what no client may act upon. Called before any client is made. */
export function removeClientVariables(
  env: Record<string, string | undefined>,
  { allowEmulators }: { readonly allowEmulators: boolean },
  logger: Logger,
): void {
  const remove = (names: readonly string[], reason: string): void => {
    for (const name of names) {
      if (env[name] === undefined) continue;
      delete env[name];
      logger.warn({}, `${name} is ignored, because ${reason}`);
    }
  };
  if (!allowEmulators) remove(EMULATOR_VARIABLES, 'SINKS_ALLOW_EMULATORS is false');
  remove(IDENTITY_VARIABLES, 'destinations see their own credentials only');
}
