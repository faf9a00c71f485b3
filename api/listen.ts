import type { FastifyInstance } from 'fastify';

/** Where a server listens. */
export interface ListenOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** The settings that say where to listen; part of the error when that fails. */
  readonly namedBy?: string;
}

/** The address can't be listened on; the message says which settings to change. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

/** Starts to listen. Resolves with the port; rejects with a `ListenError`, and has closed the server then. */
export async function listen(server: FastifyInstance, options: ListenOptions): Promise<number> {
  const { host, port, namedBy = 'HTTP_HOST and HTTP_PORT' } = options;
  try {
    await server.listen({ host, port });
  } catch (error) {
    await server.close();
    const reason = LISTEN_REASONS[errorCode(error)] ?? String(error);
    throw new ListenError(`listening on ${host}:${port}: ${reason}; change ${namedBy}`, { cause: error });
  }
  const address = server.server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}

function errorCode(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

const LISTEN_REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is taken by another program',
  EACCES: 'the port needs more rights than this program has',
  EADDRNOTAVAIL: 'no interface of this machine has that address',
  ENOTFOUND: 'the host name is not known',
};
