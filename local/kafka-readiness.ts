import { connect } from 'node:net';
import { LOOPBACK } from './free-port.ts';

const ANSWER_TIMEOUT_MS = 2_000;
/** Where a Metadata v1 response holds the number of brokers: behind its size and the correlation id. */
const BROKER_COUNT_AT = 8;

/**
 * Whether the broker on `port` has joined its cluster and serves clients: it accepts connections a while before that.
 * Anything but a good answer within two seconds is a no; never rejects.
 *
 * It writes the one request itself: a client with retries and back-off would see the broker later than it is there.
 */
export function isBrokerReady(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ port, host: LOOPBACK });
  let answer = Buffer.alloc(0);
  const settle = (isReady: boolean): void => {
    socket.destroy();
    resolve(isReady);
  };
  socket.setTimeout(ANSWER_TIMEOUT_MS, () => settle(false));
  socket.on('error', () => settle(false));
  socket.on('close', () => settle(false));
  socket.on('connect', () => socket.write(metadataRequest()));
  socket.on('data', (chunk: Buffer) => {
    answer = Buffer.concat([answer, chunk]);
    if (answer.length >= BROKER_COUNT_AT + 4) settle(answer.readInt32BE(BROKER_COUNT_AT) > 0);
  });
  return promise;
}

/** Metadata v1 for no topic at all; https://kafka.apache.org/protocol#The_Messages_Metadata */
function metadataRequest(): Buffer {
  const clientId = Buffer.from('embedded-kafka');
  const request = Buffer.alloc(4 + 2 + 2 + 4 + 2 + clientId.length + 4);
  let at = request.writeInt32BE(request.length - 4, 0);
  at = request.writeInt16BE(3, at); // api key: Metadata
  at = request.writeInt16BE(1, at); // api version
  at = request.writeInt32BE(1, at); // correlation id
  at = request.writeInt16BE(clientId.length, at);
  at += clientId.copy(request, at);
  request.writeInt32BE(0, at); // topics: an empty list
  return request;
}
