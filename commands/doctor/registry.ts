import type { RegistryInspector } from '../../schemas/registry-inspector.ts';
import { failed, ok, reasonOf, skipped, warning, type CheckGroup, type Finding } from './check.ts';
import type { ClockReadings } from './clock.ts';

const TIMEOUT_MS = 15_000;
const NAME = 'KAFKA_SCHEMA_REGISTRY_URL';

export interface RegistryCheckOptions {
  readonly mutationTopics: readonly string[];
  /** Null when no address is set. */
  readonly registry: { readonly url: string; readonly inspector: RegistryInspector } | null;
  /** The published schema of mutations. */
  readonly avsc: string;
  readonly clocks: ClockReadings;
}

/** The schema registry, and the subject of each mutation topic. */
export function registryChecks({ mutationTopics, registry, avsc, clocks }: RegistryCheckOptions): CheckGroup {
  const skip: Finding = skipped(
    NAME,
    'not set: fine while every mutation is JSON; an Avro one holds its partition',
  );
  if (registry === null)
    return {
      name: 'registry',
      concurrency: 1,
      checks: [{ name: NAME, timeoutMs: TIMEOUT_MS, run: () => Promise.resolve([skip]) }],
    };
  const { url, inspector } = registry;
  return {
    name: 'registry',
    concurrency: 1,
    checks: mutationTopics.map((topic) => {
      const subject = `${topic}-value`;
      return {
        name: subject,
        timeoutMs: TIMEOUT_MS,
        run: async (signal: AbortSignal): Promise<readonly Finding[]> => {
          const reading = clocks.begin(url);
          try {
            const { registered, dateMs } = await inspector.inspect(subject, avsc, signal);
            reading.end(dateMs);
            return [judge(subject, registered)];
          } catch (error) {
            return [
              failed(
                subject,
                `${url}: ${reasonOf(error)}`,
                `is ${NAME} right, and do its user and password apply? Avro mutations wait until it answers`,
              ),
            ];
          }
        },
      };
    }),
  };
}

function judge(
  subject: string,
  registered: Awaited<ReturnType<RegistryInspector['inspect']>>['registered'],
): Finding {
  if (registered === null)
    return warning(
      subject,
      'nothing is registered: fine while every mutation is JSON',
      'for Avro mutations: `topics create --register-schema`',
    );
  const { id, version, problem, takes } = registered;
  const what = `version ${version}, schema ${id}`;
  if (problem !== '')
    return failed(
      subject,
      `${what}: its records can't be read: ${problem}`,
      'have producers write fields as in schemas/datamart-mutation.avsc: all records of this schema go to the dead letters',
    );
  if (takes === false)
    return warning(
      subject,
      `${what}: its records can be read, but the published schema is no compatible next version`,
      'keep the registered schema, or lower the subject’s compatibility before `topics create --register-schema`',
    );
  return ok(
    subject,
    `${what}: its records can be read${takes === true ? ', the published schema fits' : ''}`,
  );
}
