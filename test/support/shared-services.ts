import { createServer } from 'node:http';
import type { Server, ServerResponse } from 'node:http';
import { startKafka } from '../../local/embedded-kafka.ts';
import { startRegistry } from '../../local/embedded-registry.ts';
import type { EmbeddedRegistry } from '../../local/embedded-registry.ts';
import { LOOPBACK } from '../../local/free-port.ts';

/** The variables through which the test files, in processes of their own, find what the run shares. */
export const BROKERS_UNDER_TEST = 'KAFKA_BROKERS_UNDER_TEST';
export const REGISTRY_ON_DEMAND = 'SCHEMA_REGISTRY_ON_DEMAND';

/**
 * What the integration tests of one run share: a broker, and a schema registry from the moment a test file asks.
 *
 * `KAFKA_BROKERS` and `KAFKA_SCHEMA_REGISTRY_URL` name ones that run already; nothing is started in their place then.
 */
export class SharedServices {
  readonly #stack: AsyncDisposableStack;

  private constructor(stack: AsyncDisposableStack) {
    this.#stack = stack;
  }

  /** Puts the addresses into `environment`. Rejects, so that the run fails, when there is no broker to be had. */
  static async start(environment: NodeJS.ProcessEnv): Promise<SharedServices> {
    await using stack = new AsyncDisposableStack();
    environment[BROKERS_UNDER_TEST] = environment['KAFKA_BROKERS'] || (await startBroker(stack));
    environment[REGISTRY_ON_DEMAND] = await offerRegistry(stack, environment['KAFKA_SCHEMA_REGISTRY_URL']);
    return new SharedServices(stack.move());
  }

  async stop(): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

async function startBroker(stack: AsyncDisposableStack): Promise<string> {
  return stack.use(await startKafka()).brokers.join(',');
}

/** Serves one page that answers with the registry's address; the first request starts the registry. */
async function offerRegistry(stack: AsyncDisposableStack, given: string | undefined): Promise<string> {
  let registry: Promise<EmbeddedRegistry> | null = null;
  const server = createServer((_request, response) => {
    if (given) return void response.end(given);
    registry ??= startRegistry();
    answerWith(registry, response);
  });
  stack.defer(async () => {
    server.closeAllConnections();
    server.close();
    // A registry that couldn't start was reported to the tests that asked for it.
    await registry?.then(
      (started) => started.stop(),
      () => undefined,
    );
  });
  return `http://${LOOPBACK}:${await listen(server)}/`;
}

function answerWith(registry: Promise<EmbeddedRegistry>, response: ServerResponse): void {
  registry.then(
    ({ url }) => response.end(url),
    (error: unknown) => {
      response.statusCode = 503;
      response.end(error instanceof Error ? error.message : String(error));
    },
  );
}

function listen(server: Server): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.once('error', reject);
  server.listen(0, LOOPBACK, () => {
    const address = server.address();
    if (address === null || typeof address === 'string') return reject(new Error('a TCP server has no port'));
    resolve(address.port);
  });
  return promise;
}
