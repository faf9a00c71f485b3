import { REGISTRY_ON_DEMAND } from './shared-services.ts';

/**
 * The address of the run's schema registry; the first test file that asks starts it (some seconds), so give that
 * test or hook a timeout of a minute. Subjects are shared: use names that no other test uses.
 */
export async function sharedRegistry(): Promise<string> {
  const onDemand = process.env[REGISTRY_ON_DEMAND];
  if (onDemand === undefined)
    throw new Error('the integration project sets up the registry; this test is not in it');
  const response = await fetch(onDemand);
  const text = await response.text();
  if (!response.ok) throw new Error(text);
  return text;
}
