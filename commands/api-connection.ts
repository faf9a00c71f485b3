import { setTimeout as delay } from 'node:timers/promises';
import { API_ERROR_CODES, ApiError } from '../api/api-error.ts';
import { safeWords } from './safe-text.ts';

/** Why no answer came that could be understood. */
export type ConnectionErrorCode = 'unreachable' | 'tls_failed' | 'timeout' | 'stopped' | 'unexpected_answer';

/** The API could not be asked, or what answered isn't one. */
export class ApiConnectionError extends Error {
  override readonly name = 'ApiConnectionError';
  readonly code: ConnectionErrorCode;
  readonly hint: string | null;

  constructor(code: ConnectionErrorCode, message: string, hint: string | null, cause?: unknown) {
    super(message, { cause });
    this.code = code;
    this.hint = hint;
  }
}

export interface ApiConnectionOptions {
  readonly baseUrl: string;
  /** Without `api:` in front. */
  readonly token: string;
  /** Ends what is in flight. */
  readonly signal: AbortSignal;
  /** How long one call may take; a write waits for tables and destinations. */
  readonly timeoutMs?: number;
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<unknown>;
}

export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** After the base URL, with its slash in front; every part is encoded already. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly form?: FormData;
  readonly ifMatch?: string | null;
}

/** An `ok` answer, whole. */
export interface ApiAnswer {
  readonly body: Readonly<Record<string, unknown>>;
  readonly etag: string;
}

const TIMEOUT_MS = 60_000;
const RATE_LIMITED_TRIES = 10;
const LONGEST_WAIT_SECONDS = 30;

/**
 * Calls an API. A refusal rejects with the ApiError that the server made, whatever else goes wrong with an
 * ApiConnectionError. Waits and tries again only when the rate limit says so: nothing was done then.
 */
export class ApiConnection {
  readonly #options: ApiConnectionOptions;

  constructor(options: ApiConnectionOptions) {
    this.#options = options;
  }

  async call(request: ApiRequest): Promise<ApiAnswer> {
    const { signal, sleep = (ms, during) => delay(ms, undefined, { signal: during }) } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#callOnce(request);
      } catch (error) {
        const seconds = error instanceof ApiError ? error.retryAfterSeconds : null;
        const isPassing = error instanceof ApiError && error.code === 'rate_limited' && seconds !== null;
        if (!isPassing || attempt === RATE_LIMITED_TRIES || seconds > LONGEST_WAIT_SECONDS) throw error;
        await sleep(seconds * 1_000, signal).catch(() => undefined);
        if (signal.aborted) throw error;
      }
    }
  }

  async #callOnce(request: ApiRequest): Promise<ApiAnswer> {
    const { response, text } = await this.#exchange(request);
    const body = objectOf(text);
    if (response.ok && body?.status === 'ok') {
      return { body, etag: response.headers.get('etag') ?? '' };
    }
    if (!response.ok && typeof body?.error_code === 'string') throw refusalOf(response, body);
    throw this.#unexpected(response);
  }

  async #exchange(request: ApiRequest): Promise<{ readonly response: Response; readonly text: string }> {
    const { token, signal, timeoutMs = TIMEOUT_MS } = this.#options;
    const { method, body, form, ifMatch } = request;
    const headers: Record<string, string> = { accept: 'application/json', authorization: `api:${token}` };
    if (body !== undefined) headers['content-type'] = 'application/json';
    if (ifMatch) headers['if-match'] = ifMatch;
    const timeout = AbortSignal.timeout(timeoutMs);
    try {
      const response = await fetch(this.#urlOf(request), {
        method,
        headers,
        body: form ?? (body === undefined ? null : JSON.stringify(body)),
        // The token goes to the host that was named, and to no other.
        redirect: 'manual',
        signal: AbortSignal.any([signal, timeout]),
      });
      return { response, text: await response.text() };
    } catch (error) {
      throw this.#connectionError(error, request, timeout.aborted);
    }
  }

  #urlOf({ path, query = {} }: ApiRequest): string {
    const parameters = new URLSearchParams(query).toString();
    return `${this.#options.baseUrl}${path}${parameters && `?${parameters}`}`;
  }

  #connectionError(error: unknown, { method }: ApiRequest, isLate: boolean): ApiConnectionError {
    const { baseUrl, signal, timeoutMs = TIMEOUT_MS } = this.#options;
    const unknownOutcome =
      method === 'GET' ? null : "it isn't known whether it was done; `replications list` and `get` tell";
    if (signal.aborted)
      return new ApiConnectionError('stopped', 'stopped before the answer came', unknownOutcome);
    if (isLate) {
      return new ApiConnectionError(
        'timeout',
        `${baseUrl} didn't answer within ${timeoutMs / 1_000} s`,
        unknownOutcome,
      );
    }
    const reason = reasonOf(error);
    if (/^(?:ERR_TLS|ERR_SSL|CERT|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|HOSTNAME_MISMATCH)/.test(reason)) {
      const hint = reason.startsWith('ERR_SSL')
        ? 'does it speak TLS there? else --api http://…'
        : 'NODE_EXTRA_CA_CERTS=<file> makes known who signed its certificate';
      return new ApiConnectionError('tls_failed', `no TLS connection to ${baseUrl}: ${reason}`, hint, error);
    }
    const wasSent = !NOT_CONNECTED.has(reason);
    return new ApiConnectionError(
      'unreachable',
      `${baseUrl} can't be reached: ${REASONS[reason] ?? reason}`,
      (wasSent ? unknownOutcome : null) ??
        'is the address right, and does an instance with the role api run there?',
      error,
    );
  }

  #unexpected({ status, headers }: Response): ApiConnectionError {
    const { baseUrl } = this.#options;
    const location = headers.get('location');
    if (status >= 300 && status < 400 && location !== null) {
      return new ApiConnectionError(
        'unexpected_answer',
        `${baseUrl} redirects to ${safeWords(location)}`,
        'the token is sent only to the address that --api names: name the right one',
      );
    }
    const type = safeWords(headers.get('content-type') ?? 'no content type');
    return new ApiConnectionError(
      'unexpected_answer',
      `${baseUrl} answered ${status} with something else than this API's JSON (${type})`,
      status >= 502 && status <= 504
        ? 'a proxy answers in its place: does an instance with the role api run behind it?'
        : "is that the API's address? without /v1 at its end",
    );
  }
}

/** Before these nothing was sent. */
const NOT_CONNECTED: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
  'bad port',
]);

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: "the host's name can't be looked up now",
  ECONNRESET: 'the connection was cut',
  UND_ERR_SOCKET: 'the connection was cut',
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
  'bad port': 'Node never asks this port over HTTP',
};

/** The code of the innermost cause, or its words. */
function reasonOf(error: unknown): string {
  let reason = 'fetch failed';
  let cause = error;
  for (let depth = 0; typeof cause === 'object' && cause !== null && depth < 5; depth++) {
    const { code, message, cause: next }: { code?: unknown; message?: unknown; cause?: unknown } = cause;
    if (typeof code === 'string') reason = code;
    else if (typeof message === 'string' && message !== '') reason = message;
    cause = next;
  }
  return reason;
}

function objectOf(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : null;
  } catch {
    return null;
  }
}

/** The error that the server made, as it was. */
function refusalOf({ status, headers }: Response, body: Readonly<Record<string, unknown>>): ApiError {
  const text = (value: unknown): string | null => (typeof value === 'string' ? value : null);
  const told = text(body.error_code) ?? '';
  const code = API_ERROR_CODES.find((known) => known === told);
  const message = text(body.error) ?? `answered ${status}`;
  const seconds = Number(headers.get('retry-after') ?? Number.NaN);
  const details = typeof body.details === 'object' && body.details !== null ? body.details : {};
  return new ApiError(
    code ?? (status < 500 ? 'invalid_request' : 'internal_error'),
    // A newer server may have codes that this release doesn't know.
    code ? message : `${told}: ${message}`,
    {
      field: text(body.field),
      hint: text(body.hint) ?? hintOf(status),
      details: { ...details, ...(code === 'internal_error' ? { error_id: body.error_id } : {}) },
      ...(Number.isFinite(seconds) ? { retryAfterSeconds: seconds } : {}),
    },
  );
}

function hintOf(status: number): string | null {
  return status === 401 ? "the token of API_TOKEN or API_TOKEN_FILE isn't one of that API's tokens" : null;
}
