import type { ReplicationConfig } from '../../processors/replication-config.ts';
import type { CommitMetadata } from '../../streams/commit-metadata.ts';
import type { OffsetToCommit, ProducedRecord } from '../../streams/kafka-port.ts';
import { identityHash } from '../../streams/replication-identity.ts';
import type { DestinationObserver, SentOperation } from './destination-observer.ts';
import { Memberships } from './memberships.ts';
import type { SimulatedProcess } from './simulated-process.ts';

/** What a mutation is, as far as the promises are concerned. */
export interface Mutation {
  readonly user: string;
  readonly document: string;
  readonly docType: number;
  readonly datamart: string;
  /** Orders a user's mutations, also those that came to another partition than their older ones. */
  readonly sequence: number;
  readonly appendedAt: number;
  readonly isReadable: boolean;
  readonly isDeletion: boolean;
}

/** One incarnation of a replication, and what must become of each mutation there. */
interface Subject {
  readonly target: string;
  readonly hash: number;
  readonly config: ReplicationConfig;
  isDeleted: boolean;
  /** With ordering lanes what was delivered ahead of the slowest lane is sent again after a detach. */
  hasOrdered: boolean;
  readonly partitions: SubjectPartition[];
  /** What was said to be left out or lost, `[from, to)` by partition. */
  readonly told: { readonly partition: number; readonly from: number; readonly to: number }[];
  /** By user: the newest that has arrived. */
  readonly newestOfUser: Map<string, Mutation>;
  /** By document: the last that has arrived, and whether it was a row of the snapshot. */
  readonly lastOfDocument: Map<string, { readonly mutation: Mutation; readonly isRow: boolean }>;
  duplicates: number;
  /** What may be sent again because the positions of a commit were lost. */
  replayed: number;
  ambiguous: number;
  detaches: number;
  /** An initial synchronization was begun for it. */
  hasBeenChosen: boolean;
  /** One has ended before it had sent all: the last row of a document may be an older one. */
  hasUnfinishedSync: boolean;
}

interface SubjectPartition {
  /** By offset. */
  readonly fates: Fate[];
  /** Everything below is settled. */
  settledTo: number;
  /** Where the last commit says that it goes on. */
  committedTo: number;
  /** It goes on from the newest mutation; the last commit still holds where the pause began. */
  isInGap: boolean;
  /** Whose attempt was the last to begin. */
  lastSender: string | null;
  /** Offsets that were acknowledged to the task that owns the partition now, by process. */
  readonly acknowledged: Map<string, { task: string; offsets: Set<number> }>;
}

interface Fate {
  /** It must arrive, or go to the dead letters. */
  isWanted: boolean;
  isRejected: boolean;
  arrivals: number;
  isDeadLetter: boolean;
  /** It was wanted, and isn't any more: where it has not arrived, that must have been told. */
  leftOut: 'in a gap' | 'by retention' | null;
}

/** PROTOCOL A3, A6: nothing of an attempt is stored later than this after it began. */
const LATEST_STORE_MS = 10_000;

export interface OracleOptions {
  readonly now: () => number;
  readonly partitions: number;
  readonly windowRecords: number;
  readonly maxFetch: number;
  readonly isRejected: (target: string, partition: number, offset: number) => boolean;
  /** What the metadata of a partition's commit say; null when they name what isn't stored. */
  readonly readMetadata: (partition: number, metadata: string) => CommitMetadata | null;
  readonly report: (what: string) => void;
  readonly trace: (line: string) => void;
}

/**
 * Knows what was promised, sees everything that is stored, and says when a promise is broken.
 *
 * A mutation is *wanted* by a replication when every instance that might dispatch it knows that it wants it; one that was
 * not delivered when a pause with `resume: NOW` was written is wanted no more.
 */
export class Oracle implements DestinationObserver {
  readonly memberships: Memberships;
  readonly #options: OracleOptions;
  readonly #subjects = new Map<string, Subject>();
  readonly #mutations: Mutation[][];
  readonly #unreadable = new Map<string, boolean>();
  readonly #taskOf = new Map<string, string>();
  readonly #claims: number[];
  readonly #committed: number[];
  readonly #logStarts: number[];
  /** Partitions whose commit has lost what travelled with it, and wasn't written since. */
  readonly #withoutMetadata = new Set<number>();
  /** Partitions from this one on may not be worked on. */
  #pinned = 0;
  readonly #tasks = new Set<string>();
  /** By process and partition: when the requests in flight began. */
  readonly #inFlight = new Map<string, Set<{ readonly sinceMs: number }>>();
  /** Both clocks of a process stood still: PROTOCOL D allows an older value after a newer one. */
  isOrderRelaxed = false;
  /** A clock was set back: beside one that stands still it can't tell how long a lease has lasted. */
  isLeaseRelaxed = false;

  constructor(options: OracleOptions) {
    this.#options = options;
    this.memberships = new Memberships(options.now);
    this.#mutations = Array.from({ length: options.partitions }, () => []);
    this.#claims = Array.from({ length: options.partitions }, () => 0);
    this.#committed = Array.from({ length: options.partitions }, () => 0);
    this.#logStarts = Array.from({ length: options.partitions }, () => 0);
  }

  violated(what: string): void {
    this.#options.report(what);
  }

  isRejected(target: string, { partition, offset }: SentOperation): boolean {
    return this.#options.isRejected(target, partition, offset);
  }

  /** A replication was written to the control topic for the first time. */
  created(target: string, config: ReplicationConfig): void {
    const subject: Subject = {
      target,
      hash: identityHash(config),
      config,
      isDeleted: false,
      hasOrdered: config.ordering,
      partitions: this.#mutations.map((log, partition) => ({
        fates: log.map(() => ({
          isWanted: false,
          isRejected: false,
          arrivals: 0,
          isDeadLetter: false,
          leftOut: null,
        })),
        settledTo: 0,
        committedTo: this.#committed[partition] ?? 0,
        isInGap: false,
        lastSender: null,
        acknowledged: new Map(),
      })),
      told: [],
      newestOfUser: new Map(),
      lastOfDocument: new Map(),
      duplicates: 0,
      replayed: 0,
      ambiguous: 0,
      detaches: 0,
      hasBeenChosen: false,
      hasUnfinishedSync: false,
    };
    this.#subjects.set(target, subject);
  }

  deleted(target: string): void {
    const subject = this.#subjects.get(target);
    if (subject) subject.isDeleted = true;
  }

  /**
   * A pause was written after which the replication goes on from the newest mutation; `isTold`: what that leaves out must
   * lie in a gap. An activation that fails keeps nothing, and tells nothing.
   */
  pausedForGood(target: string, isTold: boolean): void {
    for (const { fates, committedTo } of this.#subjects.get(target)?.partitions ?? []) {
      for (const [offset, fate] of fates.entries()) {
        if (!isTold && fate.leftOut === 'in a gap') fate.leftOut = null;
        if (isTold && !isSettled(fate)) fate.leftOut = 'in a gap';
        if (offset >= committedTo || !isSettled(fate)) fate.isWanted = false;
      }
    }
  }

  /** So many partitions are worked on from now on. */
  pinned(partitions: number): void {
    this.#pinned = partitions;
  }

  /** The partition's commit has lost what travelled with its offset: the next one goes by what was reported (PROTOCOL A1). */
  metadataLost(partition: number): void {
    this.#withoutMetadata.add(partition);
  }

  /** Retention took what is below `start`. */
  retained(partition: number, start: number): void {
    this.#logStarts[partition] = start;
    for (const key of this.#unreadable.keys()) {
      const [p, at] = key.split('/');
      if (Number(p) === partition && Number(at) < start) this.#unreadable.set(key, true);
    }
    for (const { partitions } of this.#subjects.values()) {
      for (const fate of partitions[partition]!.fates.slice(0, start)) {
        if (isSettled(fate)) continue;
        fate.isWanted = false;
        fate.leftOut = 'by retention';
      }
    }
  }

  /** Somebody says that the target, or every one (null), does not get this: a gap, or what retention took. */
  told(target: string | null, partition: number, from: number, to: number): void {
    for (const subject of this.#subjects.values())
      if (target === null || subject.target === target) subject.told.push({ partition, from, to });
  }

  /** Its config changed: what is in flight may be sent again by the same task. */
  changed(target: string, { ordering }: ReplicationConfig): void {
    const subject = this.#subjects.get(target);
    if (!subject) return;
    subject.hasOrdered ||= ordering;
    for (const { acknowledged } of subject.partitions) acknowledged.clear();
  }

  detached(target: string): void {
    const subject = this.#subjects.get(target);
    if (subject) subject.detaches += 1;
  }

  /**
   * A mutation was stored; `isWanted` tells whether the replication of that target must get it, `isInGap` whether it is
   * paused, and the mutation must be told to lie in its gap where it doesn't get it.
   */
  produced(
    partition: number,
    mutation: Mutation,
    isWanted: (target: string) => boolean,
    isInGap: (target: string) => boolean,
  ): void {
    const offset = this.#mutations[partition]!.push(mutation) - 1;
    if (!mutation.isReadable) this.#unreadable.set(`${partition}/${offset}`, false);
    for (const subject of this.#subjects.values()) {
      subject.partitions[partition]!.fates.push({
        isWanted: wants(subject.config, mutation) && isWanted(subject.target),
        isRejected: this.#options.isRejected(subject.target, partition, offset),
        arrivals: 0,
        isDeadLetter: false,
        leftOut: wants(subject.config, mutation) && isInGap(subject.target) ? 'in a gap' : null,
      });
    }
  }

  onSend(
    process: SimulatedProcess,
    target: string,
    operations: readonly SentOperation[],
  ): (isDelivered: boolean) => void {
    const subject = this.#subjects.get(target);
    const first = operations[0];
    if (!subject || !first) {
      this.violated(`something was sent to ${target}, which nobody has made`);
      return () => undefined;
    }
    this.#options.trace(`${process.name} sends ${target} p${first.partition} ${namesOf(operations)}`);
    let previous = -1;
    for (const operation of operations) {
      this.#check(subject, operation);
      const place = operation.row ?? operation.offset;
      if (operation.partition !== first.partition || place <= previous)
        this.violated(`a request to ${target} is not in the order of its partition`);
      previous = place;
    }
    if (first.partition >= this.#pinned)
      this.violated(`${process.name} sends of p${first.partition}, which nobody has adopted`);
    this.#assertMaySend(process.name, `${target} p${first.partition} offset ${first.offset}`);
    subject.partitions[first.partition]!.lastSender = process.name;
    const onAcknowledged =
      first.row === null
        ? this.#onSendLive(process.name, subject, operations)
        : this.#onSendRows(process.name, subject);
    const request = { sinceMs: this.#options.now() };
    const inFlight = this.#inFlightOf(process.name, first.partition);
    inFlight.add(request);
    return (isDelivered) => {
      inFlight.delete(request);
      if (isDelivered) onAcknowledged();
    };
  }

  #onSendRows(processName: string, subject: Subject): () => void {
    if (!subject.hasBeenChosen)
      this.violated(`${processName} sends rows to ${subject.target}, for which nobody has asked`);
    return () => undefined;
  }

  #onSendLive(processName: string, subject: Subject, operations: readonly SentOperation[]): () => void {
    const [first] = operations as [SentOperation];
    const { target } = subject;
    const { acknowledged, committedTo, isInGap } = subject.partitions[first.partition]!;
    const newest = operations.at(-1)?.offset ?? 0;
    if (first.offset < committedTo && !this.isOrderRelaxed)
      this.violated(
        `${processName} sends ${target} p${first.partition} offset ${first.offset}, which the commit at ${committedTo} says is settled`,
      );
    // What a replay has delivered since its last commit, and what came after it.
    const atOnce = 2 * (this.#options.windowRecords + this.#options.maxFetch);
    const from = Math.max(committedTo, this.#logStarts[first.partition] ?? 0);
    if (newest - from > atOnce && !isInGap && !subject.isDeleted)
      this.violated(
        `${processName} sends ${target} p${first.partition} offset ${newest}: a crash would send more than ${atOnce} again from the commit at ${committedTo}`,
      );
    const task = this.#taskOf.get(`${processName}/${first.partition}`) ?? '';
    let known = acknowledged.get(processName);
    if (known?.task !== task) known = { task, offsets: new Set() };
    acknowledged.set(processName, known);
    const again = subject.hasOrdered ? undefined : operations.find(({ offset }) => known.offsets.has(offset));
    if (again)
      this.violated(
        `${processName} sends ${target} p${again.partition} offset ${again.offset} again, which was acknowledged`,
      );
    return () => {
      if (acknowledged.get(processName) !== known) return;
      for (const { offset } of operations) known.offsets.add(offset);
    };
  }

  onStored(process: SimulatedProcess, target: string, operations: readonly SentOperation[]): void {
    const subject = this.#subjects.get(target);
    if (!subject || operations.length === 0) return;
    this.#options.trace(
      `${target} stores p${operations[0]!.partition} ${namesOf(operations)} of ${process.name}`,
    );
    const [{ partition }] = operations as [SentOperation];
    const { lastSender } = subject.partitions[partition]!;
    if (lastSender !== process.name && !this.isOrderRelaxed)
      this.violated(
        `${target} stores p${partition} of ${process.name} after an attempt of ${lastSender ?? ''} began`,
      );
    for (const operation of operations) this.#arrive(subject, operation);
  }

  onAmbiguous(target: string, operations: readonly SentOperation[]): void {
    const subject = this.#subjects.get(target);
    if (subject) subject.ambiguous += operations.length;
  }

  onDeadLetter({ headers }: ProducedRecord): void {
    const partition = Number(headers.dead_letter_partition);
    const offset = Number(headers.dead_letter_offset);
    const id = headers.dead_letter_replication_id;
    this.#options.trace(
      `dead letter p${partition} ${offset} ${typeof id === 'string' ? `of ${id}` : 'unreadable'}`,
    );
    if (typeof id !== 'string') {
      const key = `${partition}/${offset}`;
      if (!this.#unreadable.has(key))
        this.violated(`p${partition} offset ${offset} is readable, but a dead letter`);
      this.#unreadable.set(key, true);
      return;
    }
    for (const subject of this.#subjects.values()) {
      if (subject.config.id !== id) continue;
      const fate = subject.partitions[partition]?.fates[offset];
      if (!fate) continue;
      fate.isDeadLetter = true;
      if (
        !fate.isRejected &&
        ![...this.#subjects.values()].some((other) => other !== subject && other.config.id === id)
      )
        this.violated(`p${partition} offset ${offset} is a dead letter of ${id}, which would have taken it`);
    }
  }

  /** A row of the snapshot, made of the mutation at this offset, went to the dead letters for a replication. */
  onRejectedRow(id: string, partition: number, offset: number): void {
    this.#options.trace(`dead letter of a row of p${partition} ${offset} of ${id}`);
    const subjects = [...this.#subjects.values()].filter(({ config }) => config.id === id);
    if (!subjects.some(({ partitions }) => partitions[partition]?.fates[offset]?.isRejected))
      this.violated(
        `a row of p${partition} offset ${offset} is a dead letter of ${id}, which would have taken it`,
      );
  }

  /** An initial synchronization is begun for it. */
  chosen(target: string): void {
    const subject = this.#subjects.get(target);
    if (subject) subject.hasBeenChosen = true;
  }

  /** An initial synchronization that was begun for it has ended early. */
  leftUnfinished(target: string): void {
    const subject = this.#subjects.get(target);
    if (subject) subject.hasUnfinishedSync = true;
  }

  /**
   * An initial synchronization has succeeded there, with these live offsets (S) by partition: of each document the newest
   * operation has arrived last, be it of the snapshot or a live one that a commit says is settled; and nothing of those
   * that were deleted, but their deletion.
   */
  converged(
    target: string,
    liveOffsets: ReadonlyMap<number, number>,
    hasSnapshotGot: (partition: number, offset: number) => boolean,
  ): void {
    const subject = this.#subjects.get(target);
    if (!subject || subject.isDeleted || this.isOrderRelaxed) return;
    for (const [partition, liveOffset] of liveOffsets) {
      const { fates, committedTo } = subject.partitions[partition]!;
      const newest = new Map<string, { readonly mutation: Mutation; readonly offset: number }>();
      for (const [offset, mutation] of this.#mutations[partition]!.entries()) {
        if (offset >= Math.max(committedTo, liveOffset)) {
          // What is newest may still be under way.
          newest.delete(documentOf(mutation));
          continue;
        }
        const isThere =
          offset < liveOffset ? hasSnapshotGot(partition, offset) : fates[offset]!.leftOut !== 'by retention';
        if (wants(subject.config, mutation) && isThere)
          newest.set(documentOf(mutation), { mutation, offset });
      }
      for (const [document, { mutation, offset }] of newest) {
        if (fates[offset]!.isRejected) continue;
        const last = subject.lastOfDocument.get(document)?.mutation;
        if (last ? last.sequence < mutation.sequence : !mutation.isDeletion)
          this.violated(
            `after its initial sync from p${partition} ${liveOffset} on ${target} has ${last ? `${last.isDeletion ? 'the deletion' : 'the value'} of ${last.sequence}` : 'nothing'} of ${document}, not ${mutation.isDeletion ? 'the deletion' : 'the value'} of offset ${offset}`,
          );
      }
    }
  }

  /** The coordinator has accepted a commit. */
  onCommit(processName: string, generationId: number, offsets: readonly OffsetToCommit[]): void {
    for (const { partition, offset, metadata } of offsets) {
      if (!this.memberships.mayCommit(processName, generationId, partition))
        this.violated(
          `${processName} commits p${partition} ${offset} in generation ${generationId}, in which it hasn't read what is committed`,
        );
      const read = this.#options.readMetadata(partition, metadata);
      if (!read) {
        this.violated(
          `${processName} commits p${partition} ${offset} with a list of positions that isn't stored`,
        );
        continue;
      }
      const { task, x, isQuiet } = read;
      if (partition >= this.#pinned)
        this.violated(`${processName} commits p${partition}, which nobody has adopted`);
      if (isQuiet) this.#assertQuiet(processName, partition);
      const isRestored = this.#withoutMetadata.delete(partition);
      this.#options.trace(
        `${processName} commits p${partition} ${offset} task ${task?.slice(0, 4) ?? ''}${x.map(({ replication, position, kind }) => ` ${this.#nameOf(replication)}@${position} ${kind}`).join('')}${isQuiet ? ' quiet' : ''}`,
      );
      if (task !== null && !this.#tasks.has(task)) {
        this.#tasks.add(task);
        this.#claims[partition]! += 1;
      }
      this.#taskOf.set(`${processName}/${partition}`, task ?? '');
      const previous = this.#committed[partition] ?? 0;
      if (offset < previous) this.violated(`a commit takes p${partition} back from ${previous} to ${offset}`);
      this.#committed[partition] = offset;
      for (const [key, isStored] of this.#unreadable) {
        const [p, at] = key.split('/');
        if (!isStored && Number(p) === partition && Number(at) < offset)
          this.violated(`the commit p${partition} ${offset} is ahead of the dead letter of ${at}`);
      }
      for (const subject of this.#subjects.values()) {
        if (subject.isDeleted) continue;
        const own = x.find(({ replication }) => replication === subject.hash);
        subject.partitions[partition]!.isInGap =
          own?.kind === 'PAUSED' && subject.config.resume !== 'WHERE_STOPPED';
        const position = own?.position ?? offset;
        const back = subject.partitions[partition]!.committedTo - position;
        if (back > 0 && isRestored) subject.replayed += back;
        else if (back > 0 && own)
          this.violated(`a commit takes ${subject.target} p${partition} back by ${back} to ${position}`);
        this.#assertSettled(subject, partition, position);
      }
    }
  }

  /** What still must happen before the world is at rest; null when nothing must. */
  missing(): string | null {
    for (const subject of this.#subjects.values()) {
      if (subject.isDeleted) continue;
      for (const [partition, { fates }] of subject.partitions.entries()) {
        const offset = fates.findIndex((fate) => !isSettled(fate));
        if (offset >= 0) return `${subject.target} has not got p${partition} offset ${offset}`;
      }
    }
    const unstored = [...this.#unreadable].find(([, isStored]) => !isStored);
    return unstored ? `the dead letter of ${unstored[0]} is not there` : null;
  }

  /** The replication whose own position that is; null when it is there no more. */
  ownerOf(hash: number): ReplicationConfig | null {
    const subject = [...this.#subjects.values()].find((each) => each.hash === hash && !each.isDeleted);
    return subject?.config ?? null;
  }

  /** At rest: the last arrival of each document is the newest, and nothing was sent again without need. */
  atRest(): void {
    for (const subject of this.#subjects.values()) {
      if (!this.isOrderRelaxed && !subject.isDeleted) {
        this.#assertNewestLast(subject);
      }
      if (!subject.isDeleted) this.#assertTold(subject);
      const claims = this.#claims.reduce((sum, count) => sum + count, 0);
      const atOnce = this.#options.windowRecords + this.#options.maxFetch;
      const allowed = (claims + subject.detaches) * 2 * atOnce + subject.ambiguous + subject.replayed;
      if (subject.duplicates > allowed)
        this.violated(`${subject.target} got ${subject.duplicates} operations again, of ${allowed} at most`);
    }
  }

  /** Operations that arrived more than once. */
  get duplicates(): number {
    return [...this.#subjects.values()].reduce((sum, { duplicates }) => sum + duplicates, 0);
  }

  /** How long the oldest mutation has waited that a target must get, in ms. */
  waitsFor(target: string): number {
    let oldest = Infinity;
    for (const [partition, { fates, settledTo }] of (
      this.#subjects.get(target)?.partitions ?? []
    ).entries()) {
      const offset = fates.findIndex((fate, i) => i >= settledTo && !isSettled(fate));
      if (offset >= 0) oldest = Math.min(oldest, this.#mutations[partition]![offset]!.appendedAt);
    }
    return oldest === Infinity ? 0 : this.#options.now() - oldest;
  }

  #inFlightOf(processName: string, partition: number): Set<{ readonly sinceMs: number }> {
    const key = `${processName}/${partition}`;
    const inFlight = this.#inFlight.get(key) ?? new Set();
    this.#inFlight.set(key, inFlight);
    return inFlight;
  }

  #assertMaySend(processName: string, what: string): void {
    if (!this.memberships.hasClaimed(processName))
      this.violated(
        `${processName} sends ${what}, though it has asked to join or to leave and claimed nothing since`,
      );
    const isRelaxed = this.isOrderRelaxed || this.isLeaseRelaxed;
    if (!isRelaxed && !this.memberships.holdsLease(processName))
      this.violated(`${processName} sends ${what} without its lease`);
  }

  /** A commit says that nothing which the process has started in the partition can still take effect. */
  #assertQuiet(processName: string, partition: number): void {
    const now = this.#options.now();
    for (const { sinceMs } of this.#inFlightOf(processName, partition))
      if (now - sinceMs < LATEST_STORE_MS)
        this.violated(`${processName} says that p${partition} is quiet while a request is in flight`);
  }

  #nameOf(hash: number): string {
    return [...this.#subjects.values()].find((subject) => subject.hash === hash)?.target ?? String(hash);
  }

  #check(subject: Subject, { partition, offset, text }: SentOperation): void {
    const mutation = this.#mutations[partition]?.[offset];
    if (!mutation) {
      this.violated(`p${partition} offset ${offset} was sent to ${subject.target}, but does not exist`);
      return;
    }
    if (!wants(subject.config, mutation))
      this.violated(`${subject.target} was sent p${partition} offset ${offset}, which is not its own`);
    if (
      !text.includes(mutation.user) ||
      (text.includes('"n":') && !text.includes(`"n":${offset},"p":${partition},`))
    )
      this.violated(`${subject.target} was sent other bytes as p${partition} offset ${offset}: ${text}`);
  }

  #arrive(subject: Subject, { partition, offset, row }: SentOperation): void {
    const mutation = this.#mutations[partition]?.[offset];
    const fate = subject.partitions[partition]?.fates[offset];
    if (!mutation || !fate) return;
    subject.lastOfDocument.set(documentOf(mutation), { mutation, isRow: row !== null });
    if (row !== null) return;
    fate.arrivals += 1;
    if (fate.arrivals > 1) {
      subject.duplicates += 1;
      return;
    }
    const newest = subject.newestOfUser.get(mutation.user) ?? mutation;
    if (fate.isWanted && mutation.sequence < newest.sequence && !this.isOrderRelaxed)
      this.violated(
        `${subject.target} got p${partition} offset ${offset} (${mutation.sequence}) for the first time after ${newest.sequence} of the same user`,
      );
    if (mutation.sequence >= newest.sequence) subject.newestOfUser.set(mutation.user, mutation);
  }

  /** Nothing is left out without a word (PROTOCOL A9, C5). */
  #assertTold(subject: Subject): void {
    for (const [partition, { fates }] of subject.partitions.entries()) {
      for (const [offset, { leftOut }] of fates.entries()) {
        if (isUntold(subject, partition, offset))
          this.violated(
            `${subject.target} has never got p${partition} offset ${offset}, left out ${leftOut ?? ''}, and nobody said so`,
          );
      }
    }
  }

  /**
   * What lies in a gap may have arrived, and be followed by older operations that were on their way again (PROTOCOL A9).
   * Of what an initial synchronization sends an older row may be the newest that the destination takes, or the last one
   * before it ends early: a log that isn't compacted yet has several rows of a document.
   */
  #assertNewestLast(subject: Subject): void {
    const { target, partitions, lastOfDocument, hasBeenChosen, hasUnfinishedSync } = subject;
    const newest = new Map<string, Mutation>();
    for (const [partition, { fates }] of partitions.entries()) {
      for (const [offset, { isWanted, isRejected, arrivals }] of fates.entries()) {
        const mutation = this.#mutations[partition]![offset]!;
        const document = documentOf(mutation);
        if (isRejected && hasBeenChosen) newest.delete(document);
        const isNewer = mutation.sequence > (newest.get(document)?.sequence ?? -1);
        if (isWanted && arrivals > 0 && isNewer) newest.set(document, mutation);
      }
    }
    for (const [document, { sequence }] of newest) {
      const last = lastOfDocument.get(document);
      if (last?.isRow && hasUnfinishedSync) continue;
      const lastSequence = last?.mutation.sequence ?? -1;
      if (lastSequence < sequence)
        this.violated(
          `the last value of ${document} at ${target} is that of ${lastSequence}, not ${sequence}`,
        );
    }
  }

  #assertSettled(subject: Subject, partition: number, position: number): void {
    const of = subject.partitions[partition]!;
    of.committedTo = position;
    for (let offset = of.settledTo; offset < position; offset += 1) {
      const fate = of.fates[offset];
      if (fate && !isSettled(fate)) {
        this.violated(
          `a commit says that ${subject.target} has everything below p${partition} ${position}, but it has not got ${offset}`,
        );
        return;
      }
      // PROTOCOL A9: the position is given up once the gap is durable, not before.
      if (fate?.leftOut === 'in a gap' && isUntold(subject, partition, offset)) {
        this.violated(
          `a commit gives up the position of ${subject.target} before p${partition} ${position}, and no gap that is stored holds ${offset}`,
        );
        return;
      }
    }
    of.settledTo = Math.max(of.settledTo, position);
  }
}

/** It was left out, and nobody has said so. */
function isUntold({ partitions, told }: Subject, partition: number, offset: number): boolean {
  const { leftOut, arrivals, isDeadLetter } = partitions[partition]!.fates[offset]!;
  if (leftOut === null || arrivals > 0 || isDeadLetter) return false;
  return !told.some((at) => at.partition === partition && offset >= at.from && offset < at.to);
}

function documentOf({ user, document }: Mutation): string {
  return `${user}/${document}`;
}

function namesOf(operations: readonly SentOperation[]): string {
  return operations.map(({ offset, row }) => (row === null ? offset : `row ${row} of ${offset}`)).join(' ');
}

function isSettled({ isWanted, isRejected, arrivals, isDeadLetter }: Fate): boolean {
  return !isWanted || (isRejected ? isDeadLetter : arrivals > 0);
}

function wants({ datamartId, filter }: ReplicationConfig, mutation: Mutation): boolean {
  return (
    mutation.isReadable &&
    mutation.datamart === datamartId &&
    (filter === null || (filter & (1 << mutation.docType)) !== 0)
  );
}
