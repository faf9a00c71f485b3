import type { FastifyInstance } from 'fastify';
import { createHash, randomUUID } from 'node:crypto';
import { buildApiServer, type ApiOptions } from '../../api/api-server.ts';
import type { DeadLetterOperations, RedriveRequest } from '../../api/dead-letter-operations.ts';
import { ExecutionService } from '../../api/execution-service.ts';
import { ReplicationService, type ReplicationServiceOptions } from '../../api/replication-service.ts';
import type { SyncPlanSource } from '../../api/sync-plan-operations.ts';
import { SyncPlanService } from '../../api/sync-plan-service.ts';
import { FileTokens } from '../../api/tokens.ts';
import type { SyncPlan } from '../../processors/initial-sync/sync-plan.ts';
import type { ConfigRules, ReplicationConfig } from '../../processors/replication-config.ts';
import { azureEventHubsAdapter } from '../../sinks/azure-event-hubs/azure-event-hubs-adapter.ts';
import { credentialsUriProblem } from '../../sinks/credentials.ts';
import { fileAdapter } from '../../sinks/file/file-adapter.ts';
import { googlePubSubAdapter } from '../../sinks/google-pubsub/google-pubsub-adapter.ts';
import { kafkaTopicAdapter } from '../../sinks/kafka-topic/kafka-topic-adapter.ts';
import type { SinkAdapter } from '../../sinks/sink.ts';
import type { Logger } from '../../streams/logger.ts';
import {
  ControlPlaneInMemory,
  openSealer,
  SYNC_WINDOW_MS,
  TriedDestinations,
} from './control-plane-in-memory.ts';
import { ScriptedSinks } from './scripted-sink.ts';

/** A kind of destination that isn't this program's: its codes are its own. */
const THIRD_PARTY: SinkAdapter<unknown> = {
  type: 'ACME_QUEUE',
  versions: [1],
  fields: ['queue'],
  options: { messageId: false, ordering: null, orderingLanes: false },
  credentials: 'optional',
  parseConfig: ({ queue }) =>
    queue === undefined || typeof queue === 'string'
      ? { config: queue }
      : { problem: { code: 'queue_is_odd', field: 'queue', message: 'queue must be a text' } },
  checkCredentials: (text) =>
    text === 'good' ? null : { code: 'secret_is_odd', field: 'credentials', message: 'not good' },
  open: () => Promise.reject(new Error('never opened')),
};

const adapters = [
  googlePubSubAdapter({ allowEmulators: false, emulatorHost: null }),
  azureEventHubsAdapter({ allowEmulators: false }),
  fileAdapter({ directory: '/tmp' }),
  kafkaTopicAdapter({
    ownTopics: ['replication-config'],
    allowedBrokers: ['kafka-1:9092'],
    producers: () => {
      throw new Error('nothing is produced');
    },
  }),
  THIRD_PARTY,
  new ScriptedSinks().adapter,
] as readonly SinkAdapter<unknown>[];

export const RULES = {
  types: new Map(adapters.map((adapter) => [adapter.type, adapter])),
  checkCredentialsUri: credentialsUriProblem,
};

/** Tokens by whose they are. */
export const TOKENS = {
  acme: 'acme-0123456789abcdef',
  other: 'other-0123456789abcdef',
  ops: 'ops-0123456789abcdef',
};

export const DATAMART = '1649';
const NOW_MS = 1_763_900_000_123;

/** Log lines by level, with their fields. */
export class RecordedLog implements Logger {
  readonly lines: {
    readonly level: string;
    readonly fields: Record<string, unknown>;
    readonly msg: string;
  }[] = [];
  readonly debug = this.#keep('debug');
  readonly info = this.#keep('info');
  readonly warn = this.#keep('warn');
  readonly error = this.#keep('error');

  child(): Logger {
    return this;
  }

  #keep(level: string) {
    return (fields: object, msg: string): void => {
      this.lines.push({ level, fields: { ...fields }, msg });
    };
  }
}

/** Dead letters that answer what a test wants, and keep what they were asked. */
export class ScriptedDeadLetters implements DeadLetterOperations {
  readonly listed: object[] = [];
  readonly redriven: RedriveRequest[] = [];
  isComplete = true;

  async list(selection: object, page: object) {
    this.listed.push({ ...selection, ...page });
    return { letters: [], total: 7 };
  }

  async redrive(request: RedriveRequest) {
    this.redriven.push(request);
    return { results: { sent: 3, superseded: 1 }, isComplete: this.isComplete };
  }
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Readonly<Record<string, unknown>>;
  /** Of the envelope, as a test looks into it. */
  readonly data: Readonly<Record<string, unknown>>;
  readonly code: unknown;
}

export interface Request {
  readonly token?: keyof typeof TOKENS | null;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ApiUnderTestOptions {
  readonly service?: Partial<ReplicationServiceOptions>;
  readonly server?: Partial<ApiOptions>;
  readonly maxPerDatamart?: number;
  readonly rules?: ConfigRules;
}

/** Finds 700 segments for every replication. */
export class ScriptedSnapshot implements SyncPlanSource {
  /** Ids of the replications of each plan. */
  readonly planned: (readonly string[])[] = [];
  /** When set, plans reject with it. */
  failure: Error | null = null;

  plan(replications: readonly ReplicationConfig[]): Promise<SyncPlan> {
    this.planned.push(replications.map(({ id }) => id));
    if (this.failure) return Promise.reject(this.failure);
    const estimate = {
      documents: new Map([['UserSegment', 700]] as const),
      deletions: new Map(),
      messages: 700,
      bytes: 70_000,
      requests: 1,
      billedBytes: 110_000,
      billedEvents: null,
      throughputUnitSeconds: null,
      notInSchema: 0,
    };
    const part = {
      estimate,
      billingSource: 'https://cloud.google.com/pubsub/pricing',
      gap: { offsets: 40, since: NOW_MS, isOlderThanTombstones: false },
    };
    return Promise.resolve({
      replications: new Map(replications.map(({ id }) => [id, part])),
      supersededRows: 3,
      unreadableRows: 0,
    });
  }
}

/** The API over a control plane in memory. */
export class ApiUnderTest {
  readonly plane: ControlPlaneInMemory;
  readonly destinations = new TriedDestinations();
  readonly deadLetters = new ScriptedDeadLetters();
  readonly log = new RecordedLog();
  /** Moves the clocks, in ms. */
  nowMs = NOW_MS;
  readonly options: Promise<ApiOptions>;
  readonly service: ReplicationService;
  readonly executions: ExecutionService;
  /** What the snapshot is found to hold. */
  readonly snapshot = new ScriptedSnapshot();
  #server: Promise<FastifyInstance> | null = null;

  constructor({ service = {}, server = {}, maxPerDatamart = 100, rules = RULES }: ApiUnderTestOptions = {}) {
    this.plane = new ControlPlaneInMemory(rules, maxPerDatamart);
    this.service = new ReplicationService({
      state: this.plane,
      log: this.plane,
      checker: this.destinations,
      sealer: openSealer,
      explainer: { explain: async (datamartId, replicationId) => ({ datamartId, replicationId }) },
      now: () => this.nowMs++,
      random: () => 0.456,
      ...service,
    });
    this.executions = new ExecutionService({
      state: this.plane,
      log: this.plane,
      windowMs: SYNC_WINDOW_MS,
      now: () => this.nowMs++,
      newId: randomUUID,
      sleep: async (ms) => {
        this.nowMs += ms;
        await new Promise((resolve) => setImmediate(resolve));
      },
    });
    this.options = this.#optionsOf(server);
  }

  /** Without listening. */
  get server(): Promise<FastifyInstance> {
    this.#server ??= this.options.then(buildApiServer);
    return this.#server;
  }

  async call(
    method: string,
    path: string,
    { token = 'acme', body, headers = {} }: Request = {},
  ): Promise<Answer> {
    const isRaw = typeof body === 'string' || Buffer.isBuffer(body);
    const answer = await (
      await this.server
    ).inject({
      method: method as 'GET',
      url: path,
      headers: {
        ...(token === null ? {} : { authorization: `api:${TOKENS[token]}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { payload: isRaw ? body : JSON.stringify(body) }),
    });
    const envelope = answer.body === '' ? {} : (JSON.parse(answer.body) as Record<string, unknown>);
    return {
      status: answer.statusCode,
      headers: answer.headers,
      body: envelope,
      data: (envelope.data ?? {}) as Record<string, unknown>,
      code: envelope.error_code,
    };
  }

  async upload(id: string, file: string | Buffer, token: keyof typeof TOKENS = 'acme'): Promise<Answer> {
    return this.call('POST', `${REPLICATIONS}/${id}/credentials`, {
      token,
      ...formOf([{ name: 'file', file }]),
    });
  }

  /** Ends what was built. */
  async close(): Promise<void> {
    await (await this.#server)?.close();
  }

  async #optionsOf(server: Partial<ApiOptions>): Promise<ApiOptions> {
    return {
      replications: this.service,
      deadLetters: this.deadLetters,
      executions: this.executions,
      plans: new SyncPlanService({
        state: this.plane,
        source: this.snapshot,
        windowMs: SYNC_WINDOW_MS,
        rate: 100,
        now: () => this.nowMs++,
      }),
      tokens: await FileTokens.open({
        path: 'tokens.json',
        readFile: async () => TOKENS_FILE,
        logger: this.log,
        now: () => this.nowMs,
      }),
      // Nothing of a test is slowed down but where it is about that.
      rateLimit: 1_000_000,
      logger: this.log,
      now: () => this.nowMs,
      ops: null,
      ...server,
    };
  }
}

export const EXECUTIONS = `/v1/datamarts/${DATAMART}/replication_job_executions`;
export const REPLICATIONS = `/v1/datamarts/${DATAMART}/replications`;

export const PUBSUB = { name: 'to acme', type: 'GOOGLE_PUBSUB', project_id: 'acme', topic_id: 'users' };
export const EVENT_HUBS = { name: 'to azure', type: 'AZURE_EVENT_HUBS', event_hub_name: 'users' };
export const CONNECTION_STRING =
  'Endpoint=sb://acme-users.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0c2VjcmV0';

const TOKENS_FILE = JSON.stringify([
  { name: 'acme', sha256: sha256(TOKENS.acme), datamarts: [DATAMART] },
  { name: 'other', sha256: sha256(TOKENS.other), datamarts: ['1700'] },
  { name: 'ops', sha256: sha256(TOKENS.ops), datamarts: '*', role: 'operator' },
]);

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** A form as curl sends it. A part without `filename: null` has a file name. */
export function formOf(
  parts: readonly {
    readonly name: string;
    readonly file: string | Buffer;
    readonly filename?: string | null;
  }[],
  boundary = '------------------------d74496d66958873e',
): { readonly body: Buffer; readonly headers: Readonly<Record<string, string>> } {
  const chunks = parts.flatMap(({ name, file, filename = 'credentials.json' }) => [
    Buffer.from(
      `--${boundary}\r\nContent-Disposition: form-data; name="${name}"` +
        `${filename === null ? '' : `; filename="${filename}"`}\r\n` +
        `${filename === null ? '' : 'Content-Type: application/octet-stream\r\n'}\r\n`,
    ),
    Buffer.from(file),
    Buffer.from('\r\n'),
  ]);
  return {
    body: Buffer.concat([...chunks, Buffer.from(`--${boundary}--\r\n`)]),
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
  };
}
