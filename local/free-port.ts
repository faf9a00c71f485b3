import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { LocalServiceError } from './local-service-error.ts';

/** The one address that local services listen on: nothing of them is reachable from another machine. */
export const LOOPBACK = '127.0.0.1';

/**
 * Finds ports of the loopback address that nobody listens on, all different.
 * Another process may take one before the caller does: whoever listens on it must be ready to try again.
 */
export async function findFreePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(Array.from({ length: count }, () => listen(0)));
  const ports = servers.map(portOf);
  await Promise.all(servers.map(close));
  return ports;
}

/** Rejects with a `LocalServiceError` when `port` can't be listened on; `flag` names the option that changes it. */
export async function assertPortFree(port: number, flag: string): Promise<void> {
  try {
    await close(await listen(port));
  } catch (error) {
    throw new LocalServiceError(
      'port_in_use',
      `Listening on ${LOOPBACK}:${port}: ${reasonOf(error)}; stop what uses it, or choose another port with ${flag}`,
      { cause: error },
    );
  }
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EADDRINUSE') return 'the port is in use';
  if (code === 'EACCES') return 'this user may not use the port';
  return String(error);
}

function listen(port: number): Promise<Server> {
  const { promise, resolve, reject } = Promise.withResolvers<Server>();
  const server = createServer();
  server.once('error', reject);
  server.listen({ port, host: LOOPBACK }, () => resolve(server));
  return promise;
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server has no port');
  return address.port;
}

function close(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  return promise;
}
