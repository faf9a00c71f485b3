import type { DocumentType } from '../schemas/document-type.ts';
import type { IdPart } from '../schemas/mutation.ts';
import { SeededRandom } from './random.ts';
import { sampleValue } from './sample-values.ts';

export interface SampleOptions {
  /** The same seed and options make the same mutations. */
  readonly seed: number;
  /** How many users there are at a time. */
  readonly users: number;
  /** About how long a `value` is, where a document has one. */
  readonly valueBytes: number;
  /** The `ts` of the first mutation, in ms; each later one is greater. */
  readonly startTs: number;
}

/** A mutation that could have come from the platform. */
export interface SampleMutation {
  readonly userPointId: string;
  readonly ts: number;
  readonly op: 'UPDATE' | 'DELETE';
  readonly docType: DocumentType;
  readonly parts: Readonly<Partial<Record<IdPart, string>>>;
  /** JSON text; null where the document is all in its id. */
  readonly value: string | null;
}

interface SampleDocument {
  readonly docType: DocumentType;
  readonly parts: Readonly<Partial<Record<IdPart, string>>>;
}

interface SampleUser {
  readonly id: string;
  documents: SampleDocument[];
}

/** What happens to a user, and how often in a hundred. */
const EVENTS = [
  ['activity', 38],
  ['profile', 12],
  ['segment', 14],
  ['account', 3],
  ['email', 5],
  ['device', 5],
  ['agent', 5],
  ['change', 8],
  ['removal', 7],
  ['migration', 1.5],
  ['merge', 1],
  ['departure', 0.5],
] as const satisfies readonly (readonly [string, number])[];

type Event = (typeof EVENTS)[number][0];

const TOTAL_WEIGHT = EVENTS.reduce((sum, [, weight]) => sum + weight, 0);
/** A user who has so many documents loses the oldest with each new one. */
const MAX_DOCUMENTS = 40;

/**
 * Mutations of a datamart's users without end: visits, profiles, segments, devices, migrations of user agents (three
 * mutations, in order), merges of users (the absorbed one's documents are deleted and belong to the kept one),
 * deletions. Every kind of event happens once right at the start, so that a small sample shows all document types.
 * `ts` increases; users reuse their documents, so updates and deletions concern what is there.
 */
export function* sampleMutations(options: SampleOptions): Generator<SampleMutation, never, void> {
  const random = new SeededRandom(options.seed);
  const users: SampleUser[] = [];
  let { startTs: ts } = options;
  const complete = (changes: Iterable<Change>): SampleMutation[] =>
    Array.from(changes, ({ user, op, document: { docType, parts } }) => {
      ts += 1 + random.below(20);
      const value = op === 'DELETE' ? null : sampleValue(docType, random, ts, options.valueBytes);
      return { userPointId: user.id, ts, op, docType, parts, value };
    });
  const opening = EVENTS.map(([event]) => event);
  for (let step = 0; ; step++) {
    const isFull = users.length >= options.users;
    if (!isFull && (users.length < 2 || random.chance(0.3))) {
      const user = { id: random.uuid(), documents: [] };
      users.push(user);
      yield* complete([store(user, { docType: 'UserPoint', parts: {} })]);
    }
    const user = users[random.below(users.length)];
    const other = users[random.below(users.length)];
    if (user && other)
      yield* complete(happen(opening[step] ?? drawEvent(random), user, other, users, random));
  }
}

interface Change {
  readonly user: SampleUser;
  readonly op: 'UPDATE' | 'DELETE';
  readonly document: SampleDocument;
}

function drawEvent(random: SeededRandom): Event {
  let rest = (random.uint32() / 0x1_0000_0000) * TOTAL_WEIGHT;
  for (const [event, weight] of EVENTS) {
    rest -= weight;
    if (rest < 0) return event;
  }
  return 'activity';
}

function* happen(
  event: Event,
  user: SampleUser,
  other: SampleUser,
  users: SampleUser[],
  random: SeededRandom,
): Generator<Change> {
  switch (event) {
    case 'change':
      yield store(user, anyDocument(user, random) ?? newDocument('activity', random));
      return;
    case 'removal': {
      const document = anyDocument(user, random);
      if (document) yield remove(user, document);
      return;
    }
    case 'device':
      yield* addDevice(user, random);
      return;
    case 'migration':
      yield* migrateAgent(user, random);
      return;
    case 'merge':
      if (user !== other) yield* merge(user, other, users);
      else yield* mergeWithNewUser(user, users, random);
      return;
    case 'departure':
      yield* removeUser(user, users);
      return;
    case 'activity':
    case 'profile':
    case 'segment':
    case 'account':
    case 'email':
    case 'agent': {
      yield store(user, newDocument(event, random));
      const oldest = user.documents.length > MAX_DOCUMENTS ? user.documents[1] : undefined;
      if (oldest) yield remove(user, oldest);
    }
  }
}

type Arrival = Extract<Event, 'activity' | 'profile' | 'segment' | 'account' | 'email' | 'agent'>;

function newDocument(arrival: Arrival, random: SeededRandom): SampleDocument {
  switch (arrival) {
    case 'activity':
      return { docType: 'UserActivity', parts: { user_activity_id: random.uuid() } };
    case 'profile': {
      const account = random.chance(0.6) ? { user_account_id: accountId(random) } : {};
      return { docType: 'UserProfile', parts: { compartment_id: compartmentId(random), ...account } };
    }
    case 'segment':
      return { docType: 'UserSegment', parts: { segment_id: String(10_000 + random.below(50)) } };
    case 'account':
      return {
        docType: 'UserAccount',
        parts: { compartment_id: compartmentId(random), user_account_id: accountId(random) },
      };
    case 'email':
      return { docType: 'UserEmail', parts: { email_hash: random.hex(64) } };
    case 'agent':
      return { docType: 'UserAgent', parts: { vector_id: `vec:${10_000_000_000 + random.uint32()}` } };
  }
}

function compartmentId(random: SeededRandom): string {
  return String(1000 + random.below(4));
}

/** Account ids may hold colons and characters that JSON escapes. */
function accountId(random: SeededRandom): string {
  return random.pick([
    `crm-${random.below(1_000_000)}`,
    `ins:1001:${random.hex(12)}`,
    `zoë "${random.below(100)}"`,
  ]);
}

/** Adds or replaces a document. */
function store(user: SampleUser, document: SampleDocument): Change {
  const known = user.documents.find((candidate) => isSame(candidate, document));
  if (!known) user.documents.push(document);
  return { user, op: 'UPDATE', document: known ?? document };
}

function remove(user: SampleUser, document: SampleDocument): Change {
  user.documents = user.documents.filter((candidate) => candidate !== document);
  return { user, op: 'DELETE', document };
}

function isSame(one: SampleDocument, other: SampleDocument): boolean {
  return one.docType === other.docType && JSON.stringify(one.parts) === JSON.stringify(other.parts);
}

/** One of the user's documents, the user point itself left out. */
function anyDocument(user: SampleUser, random: SeededRandom): SampleDocument | undefined {
  const [, ...documents] = user.documents;
  return documents[random.below(documents.length)];
}

function* addDevice(user: SampleUser, random: SeededRandom): Generator<Change> {
  const user_device_point_id = random.uuid();
  const user_device_technical_id = `web:${random.below(100)}:${random.hex(16)}`;
  yield store(user, { docType: 'UserDevicePoint', parts: { user_device_point_id } });
  yield store(user, {
    docType: 'UserDeviceTechnicalId',
    parts: { user_device_point_id, user_device_technical_id },
  });
}

/** Three mutations, in this order, as the platform sends them. */
function* migrateAgent(user: SampleUser, random: SeededRandom): Generator<Change> {
  let agent = user.documents.find(({ docType }) => docType === 'UserAgent');
  if (!agent) {
    agent = newDocument('agent', random);
    yield store(user, agent);
  }
  yield remove(user, agent);
  yield* addDevice(user, random);
}

/** `absorbed` becomes a part of `kept`. */
function* merge(absorbed: SampleUser, kept: SampleUser, users: SampleUser[]): Generator<Change> {
  const parent: SampleDocument = { docType: 'UserPointParent', parts: { kept_user_point_id: kept.id } };
  const [, ...documents] = absorbed.documents;
  users.splice(users.indexOf(absorbed), 1);
  yield { user: absorbed, op: 'UPDATE', document: parent };
  for (const document of documents) {
    yield remove(absorbed, document);
    yield store(kept, document);
  }
  yield* absorbed.documents.map((document) => remove(absorbed, document));
}

function* mergeWithNewUser(
  absorbed: SampleUser,
  users: SampleUser[],
  random: SeededRandom,
): Generator<Change> {
  const kept: SampleUser = { id: random.uuid(), documents: [] };
  users.push(kept);
  yield store(kept, { docType: 'UserPoint', parts: {} });
  yield* merge(absorbed, kept, users);
}

function* removeUser(user: SampleUser, users: SampleUser[]): Generator<Change> {
  users.splice(users.indexOf(user), 1);
  yield* user.documents.toReversed().map((document) => remove(user, document));
}
