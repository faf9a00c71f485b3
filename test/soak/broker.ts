import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startKafka, type EmbeddedKafka } from '../../local/embedded-kafka.ts';

/** An Apache Kafka of the soak's own, which comes back with its port and data. */
export class SoakBroker implements AsyncDisposable {
  readonly brokers: readonly string[];
  readonly #directory: string;
  #kafka: EmbeddedKafka;

  private constructor(kafka: EmbeddedKafka, directory: string) {
    this.brokers = kafka.brokers;
    this.#kafka = kafka;
    this.#directory = directory;
  }

  static async start(): Promise<SoakBroker> {
    const directory = await mkdtemp(join(tmpdir(), 'datamart-replication-soak-'));
    try {
      return new SoakBroker(await startKafka({ dataDirectory: directory }), directory);
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** Ends the broker, in order or with SIGKILL. */
  async end(how: 'clean' | 'hard'): Promise<void> {
    if (how === 'clean') await this.#kafka.stop();
    else this.#kafka.kill();
    await this.#kafka.exited;
  }

  /** Starts it again; resolves when it answers. */
  async startAgain(): Promise<void> {
    this.#kafka = await startKafka({ port: this.#kafka.port, dataDirectory: this.#directory });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#kafka.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }
}
