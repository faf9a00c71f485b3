import { expect, test } from '@jest/globals';
import type { SinkErrorCode } from '../../../sinks/sink.ts';
import { Admission, type AttemptVerdict } from '../../../streams/admission.ts';
import type { Clock } from '../../../streams/clock.ts';

const MOST = 64;
/** What full jitter may draw at most: the bound itself. */
const LONGEST = 1;
const WORKS: AttemptVerdict = { kind: 'works' };

const failure = (code: SinkErrorCode): AttemptVerdict => ({ kind: 'retriable', code });
const UNAVAILABLE = failure('unavailable');
const THROTTLED = failure('throttled');
const FATAL: AttemptVerdict = { kind: 'fatal', code: 'permission_denied' };

/** Of an admission, which has one timer at most and no promises: time moves in one step. */
class OneTimerClock implements Clock {
  #now = 1_000;
  #timer: { readonly at: number; readonly task: () => void } | null = null;

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  schedule(delayMs: number, task: () => void): () => void {
    expect(this.#timer).toBeNull();
    const timer = { at: this.#now + delayMs, task };
    this.#timer = timer;
    return () => {
      if (this.#timer === timer) this.#timer = null;
    };
  }

  advance(ms: number): void {
    const end = this.#now + ms;
    while (this.#timer !== null && this.#timer.at <= end) this.runTimer();
    this.#now = end;
  }

  /** Moves time on to the timer, if one is set. */
  runTimer(): void {
    const timer = this.#timer;
    if (timer === null) return;
    this.#timer = null;
    this.#now = timer.at;
    timer.task();
  }
}

/** An admission whose chance is the test's, and who was admitted, in order. */
class Door {
  readonly clock = new OneTimerClock();
  readonly admitted: string[] = [];
  chance = LONGEST;
  readonly admission = new Admission(this.clock, () => this.chance);

  /** Lets somebody apply, of whom the name shows once they are admitted. */
  apply(name: string): { admitted(): void } {
    const applicant = { admitted: () => void this.admitted.push(name) };
    this.admission.apply(applicant);
    return applicant;
  }

  /** So many attempts at once, or fewer where no more are admitted; returns how many were. */
  start(count: number): number {
    const before = this.admitted.length;
    for (let n = 0; n < count; n += 1) this.apply(`${before + n}`);
    return this.admitted.length - before;
  }

  /** One attempt that ends so the moment that it is admitted; returns the milliseconds that it waited. */
  attempt(verdict: AttemptVerdict): number {
    const since = this.clock.monotonic();
    let waited: number | null = null;
    const applicant = { admitted: () => void (waited = this.clock.monotonic() - since) };
    this.admission.apply(applicant);
    if (waited === null) this.clock.runTimer();
    if (waited === null) throw new Error('the attempt was not admitted when its wait was over');
    this.admission.ended(verdict);
    return waited;
  }
}

test('attempts start at once, up to the most that a destination gets, and a further one when one has ended', () => {
  const door = new Door();
  expect(door.start(MOST + 2)).toBe(MOST);
  door.admission.ended(WORKS);
  expect(door.admitted).toHaveLength(MOST + 1);
  door.admission.giveBack();
  expect(door.admitted).toHaveLength(MOST + 2);
});

test('applicants are served in the order in which they came; who has withdrawn is passed over', () => {
  const door = new Door();
  door.start(MOST);
  door.apply('first');
  const second = door.apply('second');
  door.apply('third');
  door.admission.withdraw(second);
  door.admission.ended(WORKS);
  door.admission.ended(WORKS);
  door.admission.ended(WORKS);
  expect(door.admitted.slice(MOST)).toEqual(['first', 'third']);
});

test('the bound of the wait doubles with each failure in a row, from 200 ms to 30 s, and begins anew after a success', () => {
  const door = new Door();
  const waits: number[] = [];
  for (let n = 0; n < 11; n += 1) waits.push(door.attempt(UNAVAILABLE));
  expect(waits).toEqual([0, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
  expect(door.admission.failures).toBe(11);
  door.attempt(WORKS);
  expect(door.admission.failures).toBe(0);
  door.attempt(UNAVAILABLE);
  expect(door.attempt(WORKS)).toBe(200);
});

test.each([
  ['none of the bound', 0, 1],
  ['a quarter of it', 0.25, 200],
  ['three quarters of it', 0.75, 600],
])('the wait is by chance %s, a millisecond at least', (_how, chance, milliseconds) => {
  const door = new Door();
  door.attempt(UNAVAILABLE);
  door.attempt(UNAVAILABLE);
  door.chance = chance;
  // The third in a row: its bound is 800 ms.
  door.attempt(UNAVAILABLE);
  expect(door.attempt(WORKS)).toBe(milliseconds);
});

test.each(['throttled', 'quota_exceeded'] as const)(
  'after %s the wait is five times as long, and the destination is not suspect: attempts go on side by side',
  (code) => {
    const door = new Door();
    door.start(8);
    door.admission.ended(failure(code));
    door.apply('later');
    door.clock.advance(999);
    expect(door.admitted).toHaveLength(8);
    door.clock.advance(1);
    expect(door.admitted).toHaveLength(9);
    expect(door.admission.limit).toBe(MOST / 2);
    expect(door.start(MOST)).toBe(MOST / 2 - 8);
  },
);

test('a destination that failed is tried by one attempt at a time; the first success opens it to the others', () => {
  const door = new Door();
  door.start(1);
  door.admission.ended(UNAVAILABLE);
  door.start(10);
  door.clock.advance(200);
  expect(door.admitted).toHaveLength(2);
  door.clock.advance(60_000);
  expect(door.admitted).toHaveLength(2);

  door.admission.ended(UNAVAILABLE);
  door.clock.advance(400);
  expect(door.admitted).toHaveLength(3);
  door.admission.ended(WORKS);
  expect(door.admitted).toHaveLength(11);
});

test('with one slot given back unused the next applicant is tried instead', () => {
  const door = new Door();
  door.attempt(UNAVAILABLE);
  door.start(2);
  door.clock.advance(200);
  expect(door.admitted).toHaveLength(1);
  door.admission.giveBack();
  expect(door.admitted).toHaveLength(2);
});

test('the limit falls by half with a failure, to one at least, and rises by one with as many successes as it allows', () => {
  const door = new Door();
  const limits: number[] = [];
  for (let n = 0; n < 7; n += 1) {
    door.attempt(THROTTLED);
    limits.push(door.admission.limit);
  }
  expect(limits).toEqual([32, 16, 8, 4, 2, 1, 1]);

  door.attempt(WORKS);
  expect(door.admission.limit).toBe(2);
  for (let n = 0; n < 3; n += 1) door.attempt(WORKS);
  expect(door.admission.limit).toBe(3);
  for (let n = 0; n < MOST * MOST; n += 1) door.attempt(WORKS);
  expect(door.admission.limit).toBe(MOST);
});

test('what was in flight together and fails together is one failure', () => {
  const door = new Door();
  door.start(8);
  for (let n = 0; n < 8; n += 1) door.admission.ended(THROTTLED);
  expect(door.admission.failures).toBe(1);
  expect(door.admission.limit).toBe(MOST / 2);
  expect(door.attempt(WORKS)).toBe(1_000);
});

test('a permanent fault is tried again after 15.5 s whatever chance says: three tries take the 30 s of its confirmation', () => {
  const door = new Door();
  door.chance = 0;
  door.attempt(FATAL);
  expect(door.attempt(FATAL)).toBe(15_500);
  expect(door.attempt(FATAL)).toBe(15_500);
});

test('a destination that is held admits nobody until it is reset, which also ends a wait', () => {
  const door = new Door();
  door.attempt(UNAVAILABLE);
  door.admission.hold();
  door.start(2);
  door.clock.advance(3_600_000);
  expect(door.admitted).toHaveLength(0);
  door.admission.reset();
  expect(door.admitted).toHaveLength(2);

  door.admission.ended(FATAL);
  door.start(1);
  expect(door.admitted).toHaveLength(2);
  door.admission.reset();
  expect(door.admitted).toHaveLength(3);
});

test('nobody is admitted after the end', () => {
  const door = new Door();
  door.attempt(UNAVAILABLE);
  door.start(3);
  door.admission.close();
  door.clock.advance(60_000);
  expect(door.admitted).toHaveLength(0);
});
