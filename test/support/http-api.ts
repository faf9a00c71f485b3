import { digestOf } from '../../api/tokens-file.ts';

/** One answer of the API. */
export interface HttpAnswer {
  readonly status: number;
  /** The `data` of the envelope; of a list its entries. Empty where there is none. */
  readonly data: Readonly<Record<string, unknown>>;
  readonly list: readonly Readonly<Record<string, unknown>>[];
  readonly code: string | null;
  readonly body: Readonly<Record<string, unknown>>;
  /** Without its quotes: the offset of the control record in force; null without one. */
  readonly etag: string | null;
}

/** Calls the API of a running process, as a customer's program does. */
export class HttpApi {
  readonly #url: string;
  readonly #token: string;

  /** `token` is the secret, without `api:`. */
  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  /** A text goes out as it is, everything else as JSON. */
  async call(method: string, path: string, body?: unknown): Promise<HttpAnswer> {
    const hasBody = body !== undefined;
    return this.#fetch(path, {
      method,
      headers: hasBody ? { 'content-type': 'application/json' } : {},
      ...(hasBody ? { body: typeof body === 'string' ? body : JSON.stringify(body) } : {}),
    });
  }

  /** Sends a form with one part, `file`. */
  async upload(path: string, file: string): Promise<HttpAnswer> {
    const body = new FormData();
    body.append('file', new Blob([file]), 'service-account.json');
    return this.#fetch(path, { method: 'POST', body });
  }

  async #fetch(path: string, request: RequestInit): Promise<HttpAnswer> {
    const response = await fetch(`${this.#url}${path}`, {
      ...request,
      headers: { ...request.headers, authorization: `api:${this.#token}` },
    });
    // `response.json()` would make objects of another realm than the test's, which are equal to none of its own.
    const body = JSON.parse(await response.text()) as Record<string, unknown>;
    const { data } = body;
    return {
      status: response.status,
      data: Array.isArray(data) ? {} : ((data ?? {}) as Record<string, unknown>),
      list: Array.isArray(data) ? (data as Record<string, unknown>[]) : [],
      code: typeof body.error_code === 'string' ? body.error_code : null,
      body,
      etag: response.headers.get('etag')?.replaceAll('"', '') ?? null,
    };
  }
}

/** A tokens file that knows one operator's token, of all datamarts. */
export function tokensFileOf(token: string): string {
  const sha256 = digestOf(token).toString('hex');
  return JSON.stringify([{ name: 'ops', sha256, datamarts: '*', role: 'operator' }]);
}
