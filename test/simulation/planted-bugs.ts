import type { SourceEdit } from './planted-sources.ts';

/** A defect that the simulation must find. */
export interface PlantedBug {
  readonly name: string;
  /** The rule of the protocol that it breaks. */
  readonly rule: string;
  /** The seed that found it last, which is tried first. */
  readonly seed?: number;
  readonly edits: readonly SourceEdit[];
}

export const PLANTED_BUGS: readonly PlantedBug[] = [
  {
    name: 'commit before acknowledgement',
    rule: 'the committable offset',
    seed: 0,
    edits: [
      {
        file: 'streams/task-replications.ts',
        find: 'if (lane.isDetached || lane.position === null) continue;',
        replace: 'continue;',
      },
    ],
  },
  {
    name: 'own positions left out of the commit',
    rule: 'A1',
    seed: 0,
    edits: [
      {
        file: 'streams/commit-metadata.ts',
        find: 'packPositions(x) }',
        replace: 'packPositions([]) }',
      },
    ],
  },
  {
    name: 'a task is kept whoever owned the partition meanwhile',
    rule: 'A2',
    seed: 1,
    edits: [
      {
        file: 'streams/claim.ts',
        find: 'ownTaskId !== null && carried.task === ownTaskId',
        replace: 'ownTaskId !== null',
      },
    ],
  },
  {
    name: 'no send lease',
    rule: 'A3',
    seed: 1,
    edits: [
      { file: 'streams/lease.ts', find: 'return elapsed < LEASE_MS;', replace: 'return elapsed >= 0;' },
    ],
  },
  {
    name: 'a mutation settles before its snapshot record is stored',
    rule: 'B2',
    seed: 1,
    edits: [
      {
        file: 'streams/stream-task.ts',
        find: 'this.#snapshot?.position ?? this.#position,',
        replace: '',
      },
    ],
  },
  {
    name: 'the snapshot is written without the lease',
    rule: 'B6, A3',
    seed: 55,
    edits: [
      {
        file: 'streams/snapshot/partition-appender.ts',
        find: 'return !this.#signal.aborted && this.#owner.mayAttempt();',
        replace: 'return !this.#signal.aborted;',
      },
    ],
  },
  {
    name: 'newer snapshot records are stored after an open attempt',
    rule: 'B6, A6',
    seed: 27,
    edits: [
      {
        file: 'streams/snapshot/partition-appender.ts',
        find: 'this.#newerNotBefore = startedMs + ATTEMPT_DEADLINE_MS + SETTLE_MS;',
        replace: 'this.#newerNotBefore = startedMs;',
      },
    ],
  },
  {
    name: 'several appends to the snapshot are in flight',
    rule: 'B6',
    seed: 1,
    edits: [
      {
        file: 'streams/snapshot/snapshot-writer.ts',
        find: 'batch = this.#next()) await this.#settle(batch);',
        replace: 'batch = this.#next()) void this.#settle(batch);',
      },
    ],
  },
  {
    name: 'the oldest of a document wins in a snapshot batch',
    rule: 'B6',
    seed: 1,
    edits: [
      {
        file: 'streams/snapshot/snapshot-batch.ts',
        find: 'if (older !== EMPTY) this.#supersede(older);',
        replace: 'if (older !== EMPTY) { this.#supersede(entry); return; }',
      },
    ],
  },
  {
    name: 'no quiet time of a new owner',
    rule: 'A3',
    seed: 5,
    edits: [
      {
        file: 'streams/stream-task.ts',
        find: 'this.#isQuietTime = true;',
        replace: 'this.#isQuietTime = false;',
      },
    ],
  },
  {
    name: 'commits go on while a claim is under way',
    rule: 'A2',
    seed: 8,
    edits: [
      {
        file: 'streams/task-assignment.ts',
        find: 'return this.#generation && this.#isClaimed',
        replace: 'return this.#generation',
      },
    ],
  },
  {
    name: 'a replay that was taken over runs ahead of its commits',
    rule: 'A7',
    seed: 25,
    edits: [
      {
        file: 'streams/task-replications.ts',
        find: 'this.onCommitted(positions);',
        replace: '',
      },
    ],
  },
  {
    name: 'a commit that is refused is written again under the next generation',
    rule: 'A4, no epoch fence',
    seed: 16,
    edits: [
      {
        file: 'streams/commit-loop.ts',
        find: 'await this.#options.consumer.commit(offsets, owned.generation);',
        replace:
          'await this.#options.consumer.commit(offsets, owned.generation).catch(async (error) => { await new Promise((resolve) => this.#options.clock.schedule(2_000, () => resolve(null))); const again = this.#options.owned(); if (!again) throw error; await this.#options.consumer.commit(offsets, again.generation); });',
      },
    ],
  },
  {
    name: 'detach not awaited',
    rule: 'A5',
    seed: 5,
    edits: [
      {
        file: 'streams/catch-up.ts',
        find: 'await destination.attemptOf(key);',
        replace: '',
      },
      { file: 'streams/catch-up.ts', find: 'await lane.request;', replace: '' },
      {
        file: 'streams/lane.ts',
        find: 'const earlier = this.#destination.attemptOf(this.#partitionKey);',
        replace: 'const earlier = null as Promise<unknown> | null;',
      },
    ],
  },
  {
    name: 'newer ones are sent after an ambiguous attempt',
    rule: 'A6',
    seed: 21,
    edits: [
      {
        file: 'streams/destination.ts',
        find: 'slot.newerNotBefore = startedMs + ATTEMPT_DEADLINE_MS + SETTLE_MS;',
        replace: 'slot.newerNotBefore = 0;',
      },
    ],
  },
  {
    name: 'a failed commit counts as acknowledged',
    rule: 'A7, an answer that never came is counted',
    seed: 1,
    edits: [
      {
        file: 'streams/commit-loop.ts',
        find: "'a commit failed; the next one follows');\n      return;",
        replace: "'a commit failed; the next one follows');\n      sentAt = instantOf(this.#options.clock);",
      },
    ],
  },
  {
    name: 're-attach leaves the commit at once',
    rule: 'A8',
    seed: 0,
    edits: [
      {
        file: 'streams/lanes.ts',
        find: '(served.isDetached || position < served.countedFrom)',
        replace: 'served.isDetached',
      },
    ],
  },
  {
    name: 're-attach off by one',
    rule: 'A8',
    seed: 3,
    edits: [
      {
        file: 'streams/catch-up.ts',
        find: 'if (pass.position !== this.#owner.position) continue;',
        replace: 'if (pass.position < this.#owner.position - 1) continue;',
      },
    ],
  },
  {
    name: 'a pause forgets what was not acknowledged',
    rule: 'A9, a gap forgotten',
    seed: 4,
    edits: [
      {
        file: 'streams/lanes.ts',
        find: 'lane.detach(position);\n        served = new ParkedLane(kind, lane);',
        replace: 'lane.close();',
      },
    ],
  },
  {
    name: 'a position is given up before its gap is durable',
    rule: 'A9, a gap forgotten',
    seed: 5,
    edits: [
      {
        file: 'streams/lanes.ts',
        find: 'if (entry) entry.openGap = gap;',
        replace: 'if (entry) entry.openGap = null;',
      },
    ],
  },
  {
    name: 'a parked position moves over what it wants',
    rule: 'C5',
    seed: 0,
    edits: [
      {
        file: 'streams/lanes.ts',
        find: 'return !this.seen.hasSince(position, datamart, filter);',
        replace: 'return true;',
      },
    ],
  },
  {
    name: 'what retention took is not told',
    rule: 'C5',
    seed: 44,
    edits: [
      {
        file: 'streams/catch-up.ts',
        find: 'for (const lane of pass.lanes) this.#owner.lost(lane, pass.position, start);',
        replace: '',
      },
    ],
  },
  {
    name: 'a newer batch is sent before the retried one',
    rule: 'order',
    seed: 7,
    edits: [
      {
        file: 'streams/lane.ts',
        find: 'this.#retryEnd = end;',
        replace: 'this.#retryEnd = end; entry.cursor = end;',
      },
    ],
  },
  {
    name: 'dead letter not awaited',
    rule: 'nothing lost',
    seed: 0,
    edits: [
      {
        file: 'streams/rejected-records.ts',
        find: 'await this.#context.deadLetters.store(',
        replace: 'void this.#context.deadLetters.store(',
      },
    ],
  },
  {
    name: 'a stale position wins: reports are believed though the commit can be read',
    rule: 'A1, A2',
    seed: 3,
    edits: [
      {
        file: 'streams/replication-control.ts',
        find: 'if (!isNew && carried.isReadable) return',
        replace: 'if (!isNew && carried.isReadable && carried.list !== null) return',
      },
    ],
  },
  {
    name: 'a task goes on that was revoked',
    rule: 'A2, an old epoch',
    seed: 1,
    edits: [
      {
        file: 'streams/task-assignment.ts',
        find: 'if (owned.has(key)) continue;\n      task.close();',
        replace: 'if (owned.has(key)) continue;',
      },
    ],
  },
  {
    name: 'a rebalance does not suspend the lease',
    rule: 'A3',
    seed: 1,
    edits: [
      {
        file: 'streams/task-assignment.ts',
        find: 'onRebalancing(): void {\n    this.#options.lease.suspend();',
        replace: 'onRebalancing(): void {',
      },
      {
        file: 'streams/task-assignment.ts',
        find: 'async beforeRejoin(): Promise<void> {\n    this.#options.lease.suspend();',
        replace: 'async beforeRejoin(): Promise<void> {',
      },
    ],
  },
  {
    name: 'quiet is said while attempts are in flight',
    rule: 'A3',
    seed: 10,
    edits: [
      {
        file: 'streams/stream-task.ts',
        find: 'return this.#commit(this.isQuiet && !this.#isQuietTime);',
        replace: 'return this.#commit(true);',
      },
    ],
  },
  {
    name: 'a member that leaves or joins anew is not quiet before',
    rule: 'A3, a consumer that crashes',
    seed: 1,
    edits: [
      {
        file: 'streams/supervised-consumer.ts',
        find: 'beforeRejoin: () => (isCurrent() ? listener.beforeRejoin() : Promise.resolve()),',
        replace: 'beforeRejoin: () => Promise.resolve(),',
      },
    ],
  },
  {
    name: 'an answer to a lane that was detached counts, whatever it says',
    rule: 'A5, an old acknowledgement counted',
    seed: 3,
    edits: [
      {
        file: 'streams/lane.ts',
        find: 'this.#outcomeOpen?.entry === entry && outcome?.delivered === slice.count',
        replace: 'this.#outcomeOpen?.entry === entry && outcome',
      },
    ],
  },
  {
    name: 'a window never resumes',
    rule: 'progress',
    seed: 0,
    edits: [
      {
        file: 'streams/window.ts',
        find: 'this.records <= this.#maxRecords / 2',
        replace: 'this.records < 0',
      },
    ],
  },
  {
    name: 'lost metadata are taken for nothing parked',
    rule: 'A1',
    seed: 34,
    edits: [
      {
        file: 'streams/replication-control.ts',
        find: 'if (!isNew && carried.isReadable) return',
        replace: 'if (!isNew) return',
      },
    ],
  },
  {
    name: 'a commit names a list of positions before that is stored',
    rule: 'A1',
    seed: 1,
    edits: [
      {
        file: 'streams/position-lists.ts',
        find: 'const isStored = await this.#writer.write(',
        replace: 'const isStored = true; void this.#writer.write(',
      },
    ],
  },
  {
    name: 'a list of positions is written over while a commit names it',
    rule: 'A1',
    seed: 11,
    edits: [
      {
        file: 'streams/position-lists.ts',
        find: 'newest.isAcknowledged ? newest.n + 1 : newest.n;',
        replace: 'newest.n + 1;',
      },
    ],
  },
  {
    name: 'added partitions are worked on at once',
    rule: 'C6',
    seed: 14,
    edits: [
      {
        file: 'streams/partition-pins.ts',
        find: 'return count !== undefined && partition >= count;',
        replace: 'return false;',
      },
    ],
  },
  {
    name: 'added partitions are adopted while the old ones are behind',
    rule: 'C6, order',
    seed: 48,
    edits: [
      {
        file: 'streams/topics/adopt-partitions.ts',
        find: 'if (waitsFor.length === 0) break;',
        replace: 'break;',
      },
    ],
  },
  {
    name: 'newer credentials do not end an ERROR',
    rule: 'C1, progress',
    seed: 27,
    edits: [
      {
        file: 'processors/replication-state.ts',
        find: '(isOfThisRecord || isWaiting) && !isOfOlderCredentials ?',
        replace: 'isOfThisRecord || isWaiting ?',
      },
    ],
  },
  {
    name: 'a client with new credentials serves beside the one before',
    rule: 'one client at a time',
    seed: 53,
    edits: [
      {
        file: 'streams/sink-lifecycle.ts',
        find: 'await Promise.all([...this.#retired.keys()].map((sink) => sink.untilIdle()));',
        replace: '',
      },
    ],
  },
  {
    name: 'rows of deleted documents are sent',
    rule: 'B1',
    seed: 21,
    edits: [
      {
        file: 'streams/initial-sync/dead-documents.ts',
        find: 'if (value === null) this.#set.add(high, low);',
        replace: 'if (value === null) return null;',
      },
    ],
  },
  {
    name: 'S is what was dispatched, whether it is committed or not',
    rule: 'B2',
    seed: 27,
    edits: [
      {
        file: 'streams/initial-sync/sync-task.ts',
        find: 'await this.#until(() => this.#owner.committedOffset >= liveStart);\n    const liveOffset = this.#owner.committedOffset;',
        replace: 'const liveOffset = liveStart;',
      },
    ],
  },
  {
    name: 'S lies below the live start of a replication',
    rule: 'B2',
    seed: 21,
    edits: [
      {
        file: 'streams/initial-sync/sync-task.ts',
        find: 'const liveOffset = this.#owner.committedOffset;',
        replace: 'const liveOffset = Math.max(0, this.#owner.committedOffset - 50);',
      },
    ],
  },
  {
    name: 'a new owner takes only what it dispatches itself for touched',
    rule: 'B3',
    seed: 21,
    edits: [
      {
        file: 'streams/initial-sync/sync-task.ts',
        find: 'this.#touched.scan(this.#owner.scope, this.#liveOffset, markedFrom, signal),',
        replace: 'this.#touched.scan(this.#owner.scope, markedFrom, markedFrom, signal),',
      },
    ],
  },
  {
    name: 'whether a document was touched is asked when its row is read, and no more',
    rule: 'B4',
    seed: 41,
    edits: [
      {
        file: 'streams/initial-sync/sync-task.ts',
        find: 'return this.#touched.has(high, low);\n  }\n\n  storeRejected',
        replace: 'return high === low && high < 0;\n  }\n\n  storeRejected',
      },
    ],
  },
  {
    name: 'what was fed counts as delivered in the position of a synchronization',
    rule: 'B5, the position of a task ahead of delivery',
    seed: 1,
    edits: [
      {
        file: 'streams/initial-sync/row-queue.ts',
        find: 'if (cursor < segment.count) first = Math.min(first, segment.offset(cursor));',
        replace: 'if (cursor > segment.count) first = Math.min(first, segment.offset(cursor));',
      },
    ],
  },
  {
    name: 'a new owner goes on at the rows of the one before, but from an S of its own',
    rule: 'B5',
    seed: 1,
    edits: [
      {
        file: 'streams/initial-sync/sync-task.ts',
        find: 'this.#liveOffset = carried.liveOffset;',
        replace: 'this.#liveOffset = this.#owner.position;',
      },
    ],
  },
  {
    name: 'after a gap deletions are not made up for',
    rule: 'B7',
    seed: 55,
    edits: [
      {
        file: 'streams/initial-sync/sync-task.ts',
        find: 'rate, this.#owner.hasMissed(config), before',
        replace: 'rate, false, before',
      },
    ],
  },
];
