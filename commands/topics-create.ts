import { createTopics, type CreateTopicsReport } from '../streams/topics/create-topics.ts';
import type { TopicAdmin } from '../streams/topics/topic-admin-port.ts';
import type { TopicNames } from '../streams/topics/topic-plan.ts';
import { textTable, type TextOutput } from './text-output.ts';

export interface TopicsCreateOptions {
  readonly topics: TopicNames;
  readonly partitions: number;
  /** Null: as many as the brokers allow, 3 at most. */
  readonly replicationFactor: number | null;
  readonly isDryRun: boolean;
  readonly isJson: boolean;
}

export interface TopicsCreatePorts {
  readonly admin: TopicAdmin;
  /** Registers the schema of mutations under a subject and tells its id; null when that isn't asked for. */
  readonly registerSchema: ((subject: string) => Promise<number>) | null;
  readonly out: TextOutput;
  readonly errors: TextOutput;
}

interface RegisteredSchema {
  readonly subject: string;
  /** Null in a dry run. */
  readonly id: number | null;
}

/**
 * The `topics create` command: makes what is missing and shows a table, or JSON.
 * Resolves with the exit code: 1 when an existing topic would lose data, and then nothing was made.
 */
export async function runTopicsCreate(
  options: TopicsCreateOptions,
  ports: TopicsCreatePorts,
): Promise<number> {
  const report = await createTopics(ports.admin, options.topics, options);
  const isRefused = report.refused.length > 0;
  const schemas = isRefused ? [] : await registerSchemas(options, ports);
  if (options.isJson) ports.out.write(`${JSON.stringify(jsonOf(report, schemas))}\n`);
  else ports.out.write(textOf(report, schemas));
  for (const { topic, setting, value, remedy } of report.warnings) {
    ports.errors.write(`warning: topic ${topic}: ${setting} is ${value}; ${remedy}\n`);
  }
  for (const { topic, setting, value, remedy } of report.refused) {
    ports.errors.write(`refused: topic ${topic}: ${setting} is ${value}; ${remedy}\n`);
  }
  if (isRefused) ports.errors.write('nothing was created\n');
  return isRefused ? 1 : 0;
}

async function registerSchemas(
  { topics, isDryRun }: TopicsCreateOptions,
  { registerSchema }: TopicsCreatePorts,
): Promise<readonly RegisteredSchema[]> {
  if (!registerSchema) return [];
  const schemas: RegisteredSchema[] = [];
  for (const topic of topics.mutations) {
    const subject = `${topic}-value`;
    schemas.push({ subject, id: isDryRun ? null : await registerSchema(subject) });
  }
  return schemas;
}

function textOf({ topics }: CreateTopicsReport, schemas: readonly RegisteredSchema[]): string {
  const rows = topics.map(({ topic, partitions, replicationFactor, result, settings }) => [
    topic,
    partitions,
    replicationFactor,
    result,
    Object.entries(settings)
      .map(([name, value]) => `${name}=${value}`)
      .join(' '),
  ]);
  const registered = schemas.map(({ subject, id }) =>
    id === null ? `would register the schema of ${subject}\n` : `schema of ${subject}: id ${id}\n`,
  );
  return textTable(['topic', 'partitions', 'replicas', 'result', 'settings'], rows) + registered.join('');
}

function jsonOf(
  { topics, refused, warnings }: CreateTopicsReport,
  schemas: readonly RegisteredSchema[],
): object {
  return {
    status: refused.length > 0 ? 'error' : 'ok',
    topics: topics.map(({ topic, kind, result, partitions, replicationFactor, settings }) => ({
      topic,
      kind,
      result: result.replaceAll(' ', '_'),
      partitions,
      replication_factor: replicationFactor,
      settings,
    })),
    refused,
    warnings,
    schemas,
  };
}
