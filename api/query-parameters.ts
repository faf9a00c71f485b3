import { shownName } from '../processors/config-record.ts';
import { nearestName } from '../schemas/nearest-name.ts';
import { ApiError } from './api-error.ts';

/** One parameter of a call's query: how it is documented, and read. */
export interface QueryParameter<Value> {
  readonly name: string;
  readonly description: string;
  /** Its JSON schema. */
  readonly schema: Readonly<Record<string, unknown>>;
  /** Null when the text isn't allowed. */
  readonly parse: (text: string) => Value | null;
  /** In words, for the refusal. */
  readonly allowed: string;
}

/** The parameters of a query by name, each at most once. */
export class Query {
  readonly #values: ReadonlyMap<string, string>;

  private constructor(values: ReadonlyMap<string, string>) {
    this.#values = values;
  }

  /** Throws `invalid_parameter` for one that the call doesn't have, or that is there twice. */
  static parse(search: string, parameters: readonly QueryParameter<unknown>[]): Query {
    const names = parameters.map(({ name }) => name);
    const values = new Map<string, string>();
    for (const [name, value] of new URLSearchParams(search)) {
      const shown = shownName(name);
      if (!names.includes(name)) {
        const near = nearestName(name, names);
        throw invalidParameter(
          shown,
          `${shown} is not a parameter of this call`,
          near && `did you mean ${near}?`,
        );
      }
      if (values.has(name)) throw invalidParameter(shown, `${shown} is there twice`);
      values.set(name, value);
    }
    return new Query(values);
  }

  /** Null when it is absent. Throws `invalid_parameter` when it isn't allowed. */
  get<Value>({ name, parse, allowed }: QueryParameter<Value>): Value | null {
    const text = this.#values.get(name);
    if (text === undefined) return null;
    const value = parse(text);
    if (value === null) throw invalidParameter(name, `${name} must be ${allowed}`);
    return value;
  }
}

/** A parameter of the query, or of a request's body, that can't be used. */
export function invalidParameter(field: string, message: string, hint?: string): ApiError {
  return new ApiError('invalid_parameter', message, { field, hint: hint ?? null });
}

export function wholeNumberParameter(
  name: string,
  description: string,
  { min, max, byDefault }: { readonly min: number; readonly max: number; readonly byDefault: number },
): QueryParameter<number> {
  return {
    name,
    description,
    schema: { type: 'integer', minimum: min, maximum: max, default: byDefault },
    parse: (text) => {
      const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
      return value >= min && value <= max ? value : null;
    },
    allowed: `a whole number from ${min} to ${max}`,
  };
}

export const FIRST_RESULT = wholeNumberParameter('first_result', 'How many to pass over', {
  min: 0,
  max: 1_000_000,
  byDefault: 0,
});

export const MAX_RESULTS = wholeNumberParameter('max_results', 'How many to answer at most', {
  min: 1,
  max: 1_000,
  byDefault: 50,
});

/** A text that isn't longer than the rest of the address may be. */
export function textParameter(name: string, description: string): QueryParameter<string> {
  return {
    name,
    description,
    schema: { type: 'string', maxLength: MAX_TEXT },
    parse: (text) => (text.length <= MAX_TEXT ? text : null),
    allowed: `at most ${MAX_TEXT} characters`,
  };
}

const MAX_TEXT = 255;

export function choiceParameter<Choice extends string>(
  name: string,
  description: string,
  choices: readonly Choice[],
): QueryParameter<Choice> {
  return {
    name,
    description,
    schema: { type: 'string', enum: choices },
    parse: (text) => choices.find((choice) => choice === text) ?? null,
    allowed: `one of ${choices.join(', ')}`,
  };
}

/** A moment: ms since 1970 UTC, or RFC 3339. */
export function timeParameter(name: string, description: string): QueryParameter<number> {
  return {
    name,
    description,
    schema: { type: 'string', examples: ['2026-11-24T08:00:00Z', '1763900000000'] },
    parse: (text) => parseTime(text),
    allowed: TIME_ALLOWED,
  };
}

export const TIME_ALLOWED = 'a time as 2026-11-24T08:00:00Z, or ms since 1970';

/** Null when it is no time. */
export function parseTime(time: unknown): number | null {
  if (typeof time === 'number') return Number.isSafeInteger(time) && time >= 0 ? time : null;
  if (typeof time !== 'string') return null;
  if (/^\d{1,15}$/.test(time)) return Number(time);
  const ms = RFC_3339.test(time) ? Date.parse(time) : Number.NaN;
  return Number.isNaN(ms) ? null : ms;
}

const RFC_3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;
