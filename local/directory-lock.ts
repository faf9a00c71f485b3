import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalServiceError } from './local-service-error.ts';

/**
 * Keeps other processes of this machine from starting a broker on `directory`; resolves with the release, which may
 * be called twice. Rejects with a `LocalServiceError` while someone else holds it.
 *
 * Kafka's own lock comes too late: before it asks for it, a second broker has written to the metadata log of the first.
 * The lock is a socket somebody listens on, so it ends with its process, and no process id can be mistaken for it.
 */
export async function lockDirectory(directory: string): Promise<() => void> {
  const name = createHash('sha256').update(directory).digest('hex').slice(0, 16);
  // Not in the directory: a socket's path is limited to about 100 bytes.
  const path = join(tmpdir(), `datamart-replication-${name}.lock`);
  let server = await tryListen(path);
  if (server === null && !(await isListenedOn(path))) {
    await rm(path, { force: true });
    server = await tryListen(path);
  }
  if (server === null) {
    throw new LocalServiceError(
      'data_in_use',
      `Another broker uses the data directory ${directory}: stop it, or choose another directory with --data`,
    );
  }
  const held = server;
  return () => void held.close();
}

/** Null when the path is taken, be it by a living process or by the remains of a dead one. */
function tryListen(path: string): Promise<Server | null> {
  const { promise, resolve, reject } = Promise.withResolvers<Server | null>();
  const server = createServer((socket) => socket.destroy());
  server.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EADDRINUSE') resolve(null);
    else reject(error);
  });
  server.listen(path, () => resolve(server));
  server.unref();
  return promise;
}

function isListenedOn(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(path, () => {
    socket.destroy();
    resolve(true);
  });
  socket.on('error', () => resolve(false));
  return promise;
}
