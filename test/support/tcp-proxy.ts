import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const HOST = '127.0.0.1';
/** So much of one direction is taken up before its sender has to wait. */
const MAX_QUEUED_BYTES = 256 * 1024;

/** Looks at what a client has sent, chunk by chunk, and gives what goes on to the server. One for each connection. */
export type ClientFilter = (chunk: Buffer) => Buffer;

/** What a test chooses of a proxy. */
export interface TcpProxyOptions {
  /** Where connections go on to, on the loopback address. */
  readonly targetPort: number;
  /** Made for each connection. */
  readonly filter?: () => ClientFilter;
}

/** Says by the first bytes of a client whether a fault concerns its connection. */
export type ConnectionChoice = (firstBytes: Buffer) => boolean;

const ALL: ConnectionChoice = () => true;

/**
 * A network between a client and a server that a test can make worse. It listens on a free port of the loopback address;
 * every fault holds until it is ended, for the connections that are there and for later ones, unless said otherwise.
 */
export class TcpProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #options: TcpProxyOptions;
  readonly #connections = new Set<Connection>();
  readonly #link: Link = { delayMs: 0, jitterMs: 0, bytesPerSecond: Infinity };
  #isRefusing = false;
  #cutAfterBytes: number | null = null;
  #hung: { readonly choice: ConnectionChoice; readonly alsoNew: boolean } | null = null;
  #accepted = 0;

  private constructor(server: Server, options: TcpProxyOptions) {
    this.#server = server;
    this.#options = options;
    server.on('connection', (socket) => this.#onConnection(socket));
  }

  static async start(options: TcpProxyOptions): Promise<TcpProxy> {
    const server = createServer({ noDelay: true, allowHalfOpen: true });
    server.listen(0, HOST);
    await once(server, 'listening');
    return new TcpProxy(server, options);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** For the settings of a client. */
  get address(): string {
    return `${HOST}:${this.port}`;
  }

  /** How many clients have connected so far, refused ones too. */
  get accepted(): number {
    return this.#accepted;
  }

  /** Clients that are connected now. */
  get open(): number {
    return this.#connections.size;
  }

  /** Every byte takes `delayMs` ± `jitterMs`, each way; the order stays. 0 ends it. */
  delay(delayMs: number, jitterMs = 0): void {
    this.#link.delayMs = delayMs;
    this.#link.jitterMs = jitterMs;
  }

  /** Each connection carries so many bytes a second, each way. Infinity ends it. */
  throttle(bytesPerSecond: number): void {
    this.#link.bytesPerSecond = bytesPerSecond;
  }

  /**
   * Half-open: nothing is forwarded any more, also no end of a connection, and the sockets stay. `alsoNew` false lets
   * connections work that are made from now on.
   */
  hang({ choice = ALL, alsoNew = true }: { choice?: ConnectionChoice; alsoNew?: boolean } = {}): void {
    this.#hung = { choice, alsoNew };
    for (const connection of this.#connections) if (choice(connection.firstBytes)) connection.hang();
  }

  /** Ends `hang`; what was held back goes on. */
  resume(): void {
    this.#hung = null;
    for (const connection of this.#connections) connection.resume();
  }

  /** Breaks the connections of now with a RST to both sides. */
  reset(choice: ConnectionChoice = ALL): void {
    for (const connection of [...this.#connections]) if (choice(connection.firstBytes)) connection.destroy();
  }

  /** Breaks each connection made from now on once the server has sent so many bytes, the last of them too. Null ends it. */
  cutAfter(bytes: number | null): void {
    this.#cutAfterBytes = bytes;
  }

  /** New connections are reset at once; those of now stay. */
  refuse(isRefusing = true): void {
    this.#isRefusing = isRefusing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isRefusing = true;
    this.reset();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #onConnection(client: Socket): void {
    this.#accepted += 1;
    client.on('error', () => undefined);
    if (this.#isRefusing) {
      client.resetAndDestroy();
      return;
    }
    const connection = new Connection(client, {
      targetPort: this.#options.targetPort,
      filter: this.#options.filter?.() ?? ((chunk) => chunk),
      link: this.#link,
      cutAfterBytes: this.#cutAfterBytes,
      isHungFrom: (firstBytes) => this.#hung !== null && this.#hung.alsoNew && this.#hung.choice(firstBytes),
    });
    this.#connections.add(connection);
    void connection.ended.then(() => this.#connections.delete(connection));
  }
}

/** The state of the line; asked for each chunk. */
interface Link {
  delayMs: number;
  jitterMs: number;
  bytesPerSecond: number;
}

interface ConnectionOptions {
  readonly targetPort: number;
  readonly filter: ClientFilter;
  readonly link: Link;
  readonly cutAfterBytes: number | null;
  /** Asked once, with the first chunk of the client. */
  readonly isHungFrom: (firstBytes: Buffer) => boolean;
}

/** One client and its way to the server. */
class Connection {
  readonly ended: Promise<void>;
  /** The client's first chunk; empty before. */
  firstBytes: Buffer = Buffer.alloc(0);
  readonly #client: Socket;
  readonly #server: Socket;
  #moving = Promise.withResolvers<void>();

  constructor(client: Socket, { targetPort, filter, link, cutAfterBytes, isHungFrom }: ConnectionOptions) {
    this.#client = client;
    this.#server = connect({ port: targetPort, host: HOST, noDelay: true, allowHalfOpen: true });
    this.#moving.resolve();
    // Also a broken connection shows to the other side only when the line isn't hung.
    for (const socket of [client, this.#server])
      socket.on('error', () => void this.#moving.promise.then(() => this.destroy()));
    let isFirst = true;
    const fromClient = (chunk: Buffer): Buffer => {
      if (isFirst) {
        isFirst = false;
        this.firstBytes = chunk;
        if (isHungFrom(chunk)) this.hang();
      }
      return filter(chunk);
    };
    let left = cutAfterBytes ?? Infinity;
    const fromServer = (chunk: Buffer): Buffer => {
      const part = chunk.subarray(0, Math.max(0, left));
      left -= chunk.length;
      return part;
    };
    this.ended = Promise.all([
      this.#forward(client, this.#server, link, fromClient),
      this.#forward(this.#server, client, link, fromServer, () => left <= 0),
    ]).then(() => undefined);
  }

  hang(): void {
    this.#moving = Promise.withResolvers<void>();
  }

  resume(): void {
    this.#moving.resolve();
  }

  /** RST, both ways. */
  destroy(): void {
    this.#client.resetAndDestroy();
    this.#server.resetAndDestroy();
    this.#moving.resolve();
  }

  /** Takes chunks as they come and writes each when it is due. `isCut` is asked after each one. */
  async #forward(
    from: Socket,
    to: Socket,
    link: Link,
    change: (chunk: Buffer) => Buffer,
    isCut: () => boolean = () => false,
  ): Promise<void> {
    const queue = new ChunkQueue(from);
    let freeAtMs = 0;
    let dueMs = 0;
    for await (const { chunk, atMs } of queue) {
      const changed = change(chunk);
      dueMs = Math.max(dueMs, atMs + link.delayMs + link.jitterMs * (2 * Math.random() - 1));
      freeAtMs = Math.max(dueMs, freeAtMs) + (changed.length * 1_000) / link.bytesPerSecond;
      const waitMs = freeAtMs - performance.now();
      if (waitMs > 1) await sleep(waitMs);
      await this.#moving.promise;
      if (to.destroyed) return;
      if (changed.length > 0 && !to.write(changed)) await drained(to);
      if (isCut()) {
        to.end(() => this.destroy());
        return;
      }
    }
    await this.#moving.promise;
    if (!to.destroyed) to.end();
  }
}

/** Resolves when the socket takes more, or nothing any more. */
function drained(socket: Socket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.once('drain', resolve);
  socket.once('close', resolve);
  return promise;
}

/** What a socket has received, each chunk with its time of arrival, until it ends or is destroyed. */
class ChunkQueue implements AsyncIterable<{ readonly chunk: Buffer; readonly atMs: number }> {
  readonly #socket: Socket;
  readonly #chunks: { readonly chunk: Buffer; readonly atMs: number }[] = [];
  #bytes = 0;
  #isOver = false;
  #news = Promise.withResolvers<void>();

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push({ chunk, atMs: performance.now() });
      this.#bytes += chunk.length;
      if (this.#bytes > MAX_QUEUED_BYTES) socket.pause();
      this.#news.resolve();
    });
    for (const event of ['end', 'close'])
      socket.on(event, () => {
        this.#isOver = true;
        this.#news.resolve();
      });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<{ readonly chunk: Buffer; readonly atMs: number }> {
    for (;;) {
      const next = this.#chunks.shift();
      if (next) {
        this.#bytes -= next.chunk.length;
        if (this.#socket.isPaused() && this.#bytes < MAX_QUEUED_BYTES / 2) this.#socket.resume();
        yield next;
      } else if (this.#isOver) {
        return;
      } else {
        this.#news = Promise.withResolvers<void>();
        await this.#news.promise;
      }
    }
  }
}
