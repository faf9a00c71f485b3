import { indexOfOperation, NO_DOCUMENT, type SoakMutations } from './soak-mutations.ts';

const HAS_ARRIVED = 1;
const WAS_REJECTED = 2;
const IS_DEAD_LETTER = 4;
const NEVER = 0xffff_ffff;
const SAMPLES = 5;
const SAMPLE_CHARACTERS = 160;
const FIRST_CAPACITY = 1 << 16;

/** What is wrong, in numbers, with a few examples in words. */
export class Violations {
  count = 0;
  readonly examples: string[] = [];

  add(example: () => string): void {
    this.count += 1;
    if (this.examples.length < SAMPLES) this.examples.push(example());
  }
}

/** The document of each mutation that was produced, by its number: one array for all ledgers. */
export class ProducedDocuments {
  readonly #mutations: SoakMutations;
  #documents = new Uint32Array(FIRST_CAPACITY);
  #length = 0;

  constructor(mutations: SoakMutations) {
    this.#mutations = mutations;
  }

  /** How many mutations were handed to the producer. */
  get length(): number {
    return this.#length;
  }

  /** Takes the next number for a mutation that is about to be produced. */
  next(): number {
    if (this.#length === this.#documents.length) this.#documents = doubled(this.#documents);
    const index = this.#length;
    this.#documents[index] = this.#mutations.documentOf(index);
    this.#length += 1;
    return index;
  }

  of(index: number): number {
    return this.#documents[index] ?? NO_DOCUMENT;
  }
}

/** How a replication is compared with what was produced. */
export interface LedgerOptions {
  readonly id: string;
  readonly version: 1 | 2;
  readonly mutations: SoakMutations;
  readonly produced: ProducedDocuments;
  /** Whether its filter lets a document through. */
  readonly wants: (document: number) => boolean;
}

/** What was found out about one replication. */
export interface LedgerResult {
  readonly lost: Violations;
  readonly staleEnds: Violations;
  readonly deadLetters: number;
}

/**
 * Keeps count of what arrived at one replication: a byte for each mutation, some for each user and document.
 *
 * Wanted is what was produced from the moment on at which every instance was known to know the replication; until it
 * was deleted. What was produced before may arrive, and is checked for nothing but its bytes.
 */
export class ReplicationLedger {
  readonly id: string;
  readonly #options: LedgerOptions;
  #states = new Uint8Array(FIRST_CAPACITY);
  readonly #lastFirstOfUser: Uint32Array;
  readonly #lastOfDocument: Uint32Array;
  #settled = 0;
  /** Null until it is known when every instance knows it. */
  #wantedFrom: number | null = null;
  #wantedTo = Infinity;
  /** Operations that arrived for the first time. */
  distinct = 0;
  duplicates = 0;
  /** Duplicates that what happened to the destination excuses. */
  excusedDuplicates = 0;
  /** While true, what arrives may arrive again: the sender can't know that it did. */
  isLossy = false;
  readonly unknown = new Violations();
  readonly outOfOrder = new Violations();

  constructor(options: LedgerOptions) {
    const { documents } = options.mutations;
    this.id = options.id;
    this.#options = options;
    this.#lastFirstOfUser = new Uint32Array(options.mutations.userOf(documents) + 1).fill(NEVER);
    this.#lastOfDocument = new Uint32Array(documents).fill(NEVER);
  }

  get isWanted(): boolean {
    return this.#wantedFrom !== null && this.#wantedTo === Infinity;
  }

  /** Everything that is produced from now on is wanted. */
  wantFromNow(): void {
    this.#wantedFrom = this.#options.produced.length;
    this.#settled = this.#wantedFrom;
  }

  /** What hasn't arrived yet needn't any more. */
  close(): void {
    this.#wantedTo = this.#settledTo();
  }

  /** An operation was stored; `bytes` are only valid during the call. */
  arrived(bytes: Buffer): void {
    const { mutations, produced, version, wants } = this.#options;
    const index = indexOfOperation(bytes, version);
    const document = Number.isSafeInteger(index) && index >= 0 ? produced.of(index) : NO_DOCUMENT;
    const isExpected =
      index < produced.length &&
      document !== NO_DOCUMENT &&
      wants(document) &&
      mutations.expected(index, version).equals(bytes);
    if (!isExpected) {
      this.unknown.add(() => `${this.id}: ${bytes.toString('latin1').slice(0, SAMPLE_CHARACTERS)}`);
      return;
    }
    this.#lastOfDocument[document] = index;
    if (this.isLossy) this.excusedDuplicates += 1;
    if ((this.#stateOf(index) & HAS_ARRIVED) !== 0) {
      this.duplicates += 1;
      return;
    }
    this.#mark(index, HAS_ARRIVED);
    this.distinct += 1;
    if (this.#wantedFrom === null || index < this.#wantedFrom) return;
    const user = mutations.userOf(document);
    const last = this.#lastFirstOfUser[user] ?? NEVER;
    if (last === NEVER || last < index) this.#lastFirstOfUser[user] = index;
    else
      this.outOfOrder.add(() => `${this.id}: user ${user}: ${index} came for the first time after ${last}`);
  }

  /** The destination refused a request that held nothing else: it goes to the dead letters. */
  rejected(bytes: Buffer): void {
    const index = indexOfOperation(bytes, this.#options.version);
    if (index >= 0 && index < this.#options.produced.length) this.#mark(index, WAS_REJECTED);
  }

  /** A dead letter names this replication. False when nobody rejected it. */
  hasDeadLetter(index: number): boolean {
    const isExpected = (this.#stateOf(index) & WAS_REJECTED) !== 0;
    this.#mark(index, IS_DEAD_LETTER);
    return isExpected;
  }

  /** How many of the first `end` mutations are neither delivered nor rejected; an upper bound, cheap to ask. */
  backlog(end = this.#options.produced.length): number {
    return this.#wantedFrom === null ? 0 : Math.max(0, Math.min(end, this.#wantedTo) - this.#settledTo());
  }

  /** Compares it all. To be asked once, when nothing is under way and all dead letters are known. */
  result(): LedgerResult {
    const lost = new Violations();
    const staleEnds = new Violations();
    let deadLetters = 0;
    const newest = new Uint32Array(this.#lastOfDocument.length).fill(NEVER);
    const end = Math.min(this.#options.produced.length, this.#wantedTo);
    for (let index = this.#wantedFrom ?? end; index < end; index += 1) {
      const document = this.#options.produced.of(index);
      if (!this.#isWanted(document)) continue;
      const state = this.#stateOf(index);
      if ((state & IS_DEAD_LETTER) !== 0) deadLetters += 1;
      if ((state & HAS_ARRIVED) !== 0) newest[document] = index;
      else if ((state & IS_DEAD_LETTER) === 0 && (this.isWanted || (state & WAS_REJECTED) === 0))
        lost.add(() => `${this.id}: mutation ${index}`);
    }
    if (this.isWanted) {
      for (const [document, index] of newest.entries()) {
        const last = this.#lastOfDocument[document] ?? NEVER;
        if (index !== NEVER && last !== index)
          staleEnds.add(() => `${this.id}: document ${document} ends with ${last}, its newest is ${index}`);
      }
    }
    return { lost, staleEnds, deadLetters };
  }

  /** Everything below has arrived, was rejected, or isn't wanted. */
  #settledTo(): number {
    const { produced } = this.#options;
    while (
      this.#settled < produced.length &&
      (this.#stateOf(this.#settled) !== 0 || !this.#isWanted(produced.of(this.#settled)))
    ) {
      this.#settled += 1;
    }
    return this.#settled;
  }

  #isWanted(document: number): boolean {
    return document !== NO_DOCUMENT && this.#options.wants(document);
  }

  #stateOf(index: number): number {
    return this.#states[index] ?? 0;
  }

  #mark(index: number, state: number): void {
    while (index >= this.#states.length) this.#states = doubledBytes(this.#states);
    this.#states[index] = this.#stateOf(index) | state;
  }
}

function doubled(array: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(array.length * 2);
  larger.set(array);
  return larger;
}

function doubledBytes(array: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(array.length * 2);
  larger.set(array);
  return larger;
}
