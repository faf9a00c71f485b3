import { startKafka } from './embedded-kafka.ts';
import type { EmbeddedKafka } from './embedded-kafka.ts';
import { startRegistry } from './embedded-registry.ts';
import type { EmbeddedRegistry } from './embedded-registry.ts';
import { LocalServiceError } from './local-service-error.ts';

/** The port that every Kafka client tries first. */
export const DEFAULT_KAFKA_PORT = 9092;

/** What `datamart-replication kafka` was asked for. */
export interface KafkaCommandOptions {
  /** Default 9092. */
  readonly port?: number | undefined;
  /** Kept over restarts; without it the data end with the command. */
  readonly dataDirectory?: string | undefined;
  /** Whether a schema registry is started too. */
  readonly registry: boolean;
  /** Where java, mvn and the cache are looked up. Default: this process's environment. */
  readonly environment?: NodeJS.ProcessEnv | undefined;
}

/** Where the command's lines go; `process.stdout` is one. */
export interface TextOutput {
  write(text: string): unknown;
}

/**
 * The `kafka` command: runs Apache Kafka, and a schema registry if asked, until `signal` aborts, then stops both.
 *
 * Resolves with the exit code: 0 after `signal`, 1 when a service couldn't start or died, with the reason on `errors`.
 * Rejects only on a defect.
 */
export async function runKafkaCommand(
  options: KafkaCommandOptions,
  signal: AbortSignal,
  out: TextOutput,
  errors: TextOutput = process.stderr,
): Promise<number> {
  try {
    await using services = new AsyncDisposableStack();
    const { kafka, registry } = await startServices(options, signal, services, errors);
    out.write(instructions(kafka, registry, options.dataDirectory));
    return await untilStopped(kafka, registry, signal, errors);
  } catch (error) {
    if (signal.aborted) return 0;
    if (!(error instanceof LocalServiceError)) throw error;
    errors.write(`${error.message}\n`);
    return 1;
  }
}

interface Services {
  readonly kafka: EmbeddedKafka;
  readonly registry: EmbeddedRegistry | null;
}

async function startServices(
  options: KafkaCommandOptions,
  signal: AbortSignal,
  services: AsyncDisposableStack,
  errors: TextOutput,
): Promise<Services> {
  const shared = {
    signal,
    environment: options.environment,
    onProgress: (line: string): void => void errors.write(`${line}\n`),
  };
  const kafka = services.use(
    await startKafka({
      ...shared,
      port: options.port ?? DEFAULT_KAFKA_PORT,
      dataDirectory: options.dataDirectory,
    }),
  );
  const registry = options.registry ? services.use(await startRegistry(shared)) : null;
  return { kafka, registry };
}

function instructions(
  kafka: EmbeddedKafka,
  registry: EmbeddedRegistry | null,
  dataDirectory: string | undefined,
): string {
  const settings = [`KAFKA_BROKERS=${kafka.brokers.join(',')}`];
  if (registry !== null) settings.push(`KAFKA_SCHEMA_REGISTRY_URL=${registry.url}`);
  const lines = [
    `Apache Kafka listens on ${kafka.brokers.join(',')}`,
    ...(registry === null ? [] : [`The schema registry answers at ${registry.url}`]),
    dataDirectory === undefined
      ? 'The data end with this command; keep them with --data DIR'
      : `The data are kept in ${kafka.dataDirectory}`,
    '',
    'Use it from another terminal:',
    ...settings.map((setting) => `  export ${setting}`),
    '  npm start',
    '',
    'Ctrl-C stops it.',
  ];
  return `${lines.join('\n')}\n`;
}

async function untilStopped(
  { pid, exited }: EmbeddedKafka,
  registry: EmbeddedRegistry | null,
  signal: AbortSignal,
  errors: TextOutput,
): Promise<number> {
  const { promise: asked, resolve: ask } = Promise.withResolvers<null>();
  const onAbort = (): void => ask(null);
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) onAbort();
  const deaths = [exited.then(() => `Apache Kafka (pid ${pid}) ended by itself or was killed`)];
  if (registry !== null) {
    deaths.push(
      registry.exited.then(() => `The schema registry (pid ${registry.pid}) ended by itself or was killed`),
    );
  }
  const death = await Promise.race([asked, ...deaths]);
  signal.removeEventListener('abort', onAbort);
  if (death === null) return 0;
  errors.write(`${death}\n`);
  return 1;
}
