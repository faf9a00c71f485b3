import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startKafka, type EmbeddedKafka } from '../../local/embedded-kafka.ts';
import { findFreePorts } from '../../local/free-port.ts';
import { TcpProxy, type ClientFilter } from '../support/tcp-proxy.ts';

const HOST = '127.0.0.1';

/**
 * A broker of the test's own, which it may kill and start again on the same data, with two ways to it: the test's own, and
 * one through a proxy. Whoever comes through the proxy is told no other address.
 */
export class OwnKafka implements AsyncDisposable {
  readonly proxy: TcpProxy;
  /** The way for the test itself. */
  readonly brokers: readonly string[];
  /** The way for `KAFKA_BROKERS` of the processes. */
  readonly proxiedBrokers: string;
  readonly #port: number;
  readonly #dataDirectory: string;
  readonly #properties: Readonly<Record<string, string | number>>;
  #broker: EmbeddedKafka;

  private constructor(
    broker: EmbeddedKafka,
    proxy: TcpProxy,
    started: Pick<OwnKafka, 'brokers'> & {
      readonly port: number;
      readonly dataDirectory: string;
      readonly properties: Readonly<Record<string, string | number>>;
    },
  ) {
    this.#broker = broker;
    this.proxy = proxy;
    this.brokers = started.brokers;
    this.proxiedBrokers = proxy.address;
    this.#port = started.port;
    this.#dataDirectory = started.dataDirectory;
    this.#properties = started.properties;
  }

  /** `filter` sees what comes through the proxy. */
  static async start(
    options: {
      readonly filter?: () => ClientFilter;
      readonly properties?: Readonly<Record<string, string | number>>;
    } = {},
  ): Promise<OwnKafka> {
    await using stack = new AsyncDisposableStack();
    const dataDirectory = await mkdtemp(join(tmpdir(), 'datamart-replication-own-kafka-'));
    stack.defer(() => rm(dataDirectory, { recursive: true, force: true, maxRetries: 3 }));
    const [port = 0, behindProxy = 0, controller = 0] = await findFreePorts(3);
    const proxy = stack.use(
      await TcpProxy.start({
        targetPort: behindProxy,
        ...(options.filter ? { filter: options.filter } : {}),
      }),
    );
    const properties = {
      listeners: `PLAINTEXT://${HOST}:${port},PROXIED://${HOST}:${behindProxy},CONTROLLER://${HOST}:${controller}`,
      'advertised.listeners': `PLAINTEXT://${HOST}:${port},PROXIED://${proxy.address}`,
      'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT',
      'controller.quorum.voters': `1@${HOST}:${controller}`,
      ...options.properties,
    };
    const broker = await startKafka({ port, dataDirectory, properties });
    stack.move();
    const brokers = [`${HOST}:${port}`];
    return new OwnKafka(broker, proxy, { brokers, port, dataDirectory, properties });
  }

  /** Where the logs of the topics' partitions lie. */
  get logDirectory(): string {
    return join(this.#dataDirectory, 'data');
  }

  /** SIGKILL; resolves when the broker is gone. */
  async kill(): Promise<void> {
    this.#broker.kill();
    await this.#broker.exited;
  }

  /** Ends the broker in order; its data stay. */
  async stop(): Promise<void> {
    await this.#broker.stop();
  }

  /** Starts the broker that was killed or stopped again; resolves once it answers clients. */
  async restart(): Promise<void> {
    this.#broker = await startKafka({
      port: this.#port,
      dataDirectory: this.#dataDirectory,
      properties: this.#properties,
    });
  }

  /** SIGSTOP. */
  suspend(): void {
    this.#broker.suspend();
  }

  /** SIGCONT. */
  resume(): void {
    this.#broker.resume();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#broker.stop();
    await this.proxy[Symbol.asyncDispose]();
    await rm(this.#dataDirectory, { recursive: true, force: true, maxRetries: 3 });
  }
}
