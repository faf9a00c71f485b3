/**
 * - `warning`: it works, and something should be done.
 * - `skipped`: it could not be told; `message` says why.
 */
export const CHECK_RESULTS = ['ok', 'warning', 'failed', 'skipped'] as const;
export type CheckResult = (typeof CHECK_RESULTS)[number];

/** What one check found out of one thing. */
export interface Finding {
  /** What was looked at: a setting, a topic, a broker, a replication. */
  readonly name: string;
  readonly result: CheckResult;
  readonly message: string;
  /** What an operator can do about it; null when nothing is wrong or known to help. */
  readonly remedy: string | null;
}

/** One question that `doctor` asks. */
export interface Check {
  readonly name: string;
  /** A check that takes longer has failed. */
  readonly timeoutMs: number;
  /**
   * Finds out without changing anything. May reject: that is a failed check, or a skipped one with `CheckSkippedError`.
   * Has ended its work soon after `signal` aborts.
   */
  run(signal: AbortSignal): Promise<readonly Finding[]>;
}

/** Checks that belong together. */
export interface CheckGroup {
  readonly name: string;
  readonly checks: readonly Check[];
  /** How many of them may run at a time. */
  readonly concurrency: number;
}

/** The check can't be made, which is no fault of what it looks at. */
export class CheckSkippedError extends Error {
  override readonly name = 'CheckSkippedError';
}

/** What an earlier check found and later ones need. */
export class Prerequisite<Value> {
  readonly #missing: string;
  #value: { readonly of: Value } | null = null;

  /** `missing` says why what needs it is skipped. */
  constructor(missing: string) {
    this.#missing = missing;
  }

  set(value: Value): void {
    this.#value = { of: value };
  }

  /** Null when nobody has found it. */
  find(): Value | null {
    return this.#value && this.#value.of;
  }

  /** Throws a `CheckSkippedError` when nobody has found it. */
  get(): Value {
    if (!this.#value) throw new CheckSkippedError(this.#missing);
    return this.#value.of;
  }
}

export function ok(name: string, message: string): Finding {
  return { name, result: 'ok', message, remedy: null };
}

export function warning(name: string, message: string, remedy: string | null): Finding {
  return { name, result: 'warning', message, remedy };
}

export function failed(name: string, message: string, remedy: string | null): Finding {
  return { name, result: 'failed', message, remedy };
}

export function skipped(name: string, message: string): Finding {
  return { name, result: 'skipped', message, remedy: null };
}

/** The message of an error and of its causes that say something new. */
export function reasonOf(error: unknown): string {
  const reasons: string[] = [];
  for (let cause = error; cause instanceof Error && reasons.length < 4; cause = cause.cause) {
    const { message } = cause;
    if (message !== '' && !reasons.some((reason) => reason.includes(message))) reasons.push(message);
  }
  return reasons.length > 0 ? reasons.join(', because: ') : String(error);
}
