import type { SeededRandom } from '../../local/random.ts';
import type { HttpAnswer, HttpApi } from './http-api.ts';
import { produce } from './kafka.ts';
import { aServiceAccountFile } from './service-account.ts';

type JsonRecord = Readonly<Record<string, unknown>>;

export const DATAMARTS = ['1649', '1650', '1651'] as const;
/** Few of each, so that writers get into each other's way. */
const IDS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'] as const;
const PATHS = ['one.jsonl', 'two.jsonl', 'three.jsonl', 'four.jsonl'] as const;
const NAMES = ['users', 'to acme', 'Ünïcode \u2603', 'x'.repeat(255)] as const;

/** What all writers of a test share. */
export interface ControlWriterOptions {
  readonly controlTopic: string;
  readonly apis: readonly [HttpApi, ...HttpApi[]];
  /** Ids that the API has drawn so far. */
  readonly created: string[];
}

/** An answer that a change got, and what was asked for. */
export interface ChangeAnswer {
  readonly call: string;
  readonly answer: HttpAnswer;
}

/**
 * Changes replications at random, sensibly or not: on the control topic, or by the API of any instance. The same seed
 * makes the same changes, as far as what others do at the same time allows.
 */
export class ControlWriter {
  readonly answers: ChangeAnswer[] = [];
  readonly #random: SeededRandom;
  readonly #options: ControlWriterOptions;

  constructor(random: SeededRandom, options: ControlWriterOptions) {
    this.#random = random;
    this.#options = options;
  }

  /** Makes one change; resolves when it is stored, or was refused. */
  async change(): Promise<void> {
    if (this.#random.chance(0.5)) await this.#changeByRecord();
    else await this.#changeByCall();
  }

  async #changeByRecord(): Promise<void> {
    const [key, value] = this.#record();
    await produce(this.#options.controlTopic, [{ key, value }]);
  }

  #record(): readonly [key: string, value: string | null] {
    const random = this.#random;
    const id = this.#id();
    const valid = this.#validRecord(id);
    if (random.chance(0.6)) return [id, JSON.stringify(valid)];
    return random.pick<readonly [string, string | null]>([
      [id, null],
      [id, null],
      [id, JSON.stringify(valid).slice(0, -1)],
      [id, JSON.stringify({ ...valid, id: 'another' })],
      [id, JSON.stringify({ ...valid, filters: null })],
      [id, JSON.stringify({ ...valid, datamart_id: 'x' })],
      [id, JSON.stringify({ ...valid, replication_filters: [{ document: 'USERS', filter: null }] })],
      [id, JSON.stringify({ ...valid, type: 'GOOGLE_PUB_SUB' })],
      ['no id, 100 %', JSON.stringify({ ...valid, id: 'no id, 100 %' })],
    ]);
  }

  /** Valid by itself; what is in force, or its neighbours, may forbid it. */
  #validRecord(id: string): JsonRecord {
    const random = this.#random;
    return {
      id,
      datamart_id: this.#datamartOf(id),
      name: random.pick(NAMES),
      status: random.pick(['ACTIVE', 'PAUSED', 'PAUSED', 'ERROR']),
      ...this.#destinationOf(id),
    };
  }

  /** Mostly the same for an id: changing it is refused. */
  #destinationOf(id: string): JsonRecord {
    const random = this.#random;
    const kind = random.chance(0.8) ? id.charCodeAt(id.length - 1) : random.below(4);
    if (kind % 4 === 0)
      return { type: 'FILE', path: random.chance(0.7) ? `${id}.jsonl` : random.pick(PATHS) };
    if (kind % 4 === 1) return { type: 'AZURE_EVENT_HUBS', event_hub_name: 'users' };
    if (kind % 4 === 2) return { type: 'KAFKA_TOPIC', topic: 'nowhere', ordering_lanes: 1 + random.below(4) };
    const filters = random.chance(0.2) ? [{ document: 'USER_EMAIL', filter: null }] : null;
    return { type: 'GOOGLE_PUBSUB', project_id: 'acme', topic_id: 'users', replication_filters: filters };
  }

  async #changeByCall(): Promise<void> {
    const random = this.#random;
    const id = this.#id();
    const all = `/v1/datamarts/${this.#datamartOf(id)}/replications`;
    const action = random.below(100);
    if (action < 25) await this.#create(all);
    else if (action < 40) await this.#call('DELETE', `${all}/${id}`);
    else if (action < 55) await this.#upload(`${all}/${id}/credentials`);
    else await this.#call('PUT', `${all}/${id}`, this.#changes());
  }

  async #create(path: string): Promise<void> {
    const random = this.#random;
    const valid = { name: random.pick(NAMES), ...this.#destinationOf(String(random.below(10_000))) };
    const body = random.chance(0.7)
      ? valid
      : random.pick<unknown>([
          { ...valid, status: 'ACTIVE' },
          { ...valid, name: '' },
          { ...valid, nmae: 'x' },
          { ...valid, path: '../../etc/passwd' },
          '{"name": ,}',
          [],
        ]);
    const { status, data } = await this.#call('POST', path, body);
    if (status === 201) this.#options.created.push(String(data.id));
  }

  #changes(): unknown {
    const random = this.#random;
    return random.pick<unknown>([
      { name: random.pick(NAMES) },
      { name: random.pick(NAMES), resume: random.pick(['NOW', 'WHERE_STOPPED', null]) },
      { status: 'PAUSED' },
      { status: 'ACTIVE' },
      { ordering_lanes: 1 + random.below(8) },
      { ordering_lanes: 0 },
      { replication_filters: [{ document: 'USER_AGENT', filter: null }] },
      { type: 'FILE' },
      { name: 7 },
      '{',
    ]);
  }

  async #upload(path: string): Promise<void> {
    const file = this.#random.chance(0.7) ? aServiceAccountFile() : '{"type":"authorized_user"}';
    this.#keep(`upload ${path}`, await this.#api().upload(path, file));
  }

  async #call(method: string, path: string, body?: unknown): Promise<HttpAnswer> {
    return this.#keep(`${method} ${path}`, await this.#api().call(method, path, body));
  }

  #keep(call: string, answer: HttpAnswer): HttpAnswer {
    this.answers.push({ call, answer });
    return answer;
  }

  #api(): HttpApi {
    const [first, ...others] = this.#options.apis;
    return this.#random.pick([first, ...others]);
  }

  #id(): string {
    const [first, ...others] = this.#options.created;
    return first !== undefined && this.#random.chance(0.4)
      ? this.#random.pick([first, ...others])
      : this.#random.pick(IDS);
  }

  /** Mostly the same for an id: another one's is refused. */
  #datamartOf(id: string): string {
    if (this.#random.chance(0.1)) return this.#random.pick(DATAMARTS);
    return DATAMARTS[id.charCodeAt(id.length - 1) % DATAMARTS.length] ?? DATAMARTS[0];
  }
}
