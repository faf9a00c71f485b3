import { startKafka } from '../../local/embedded-kafka.ts';

/** A program that starts a broker, tells where, and waits to be killed: the tests see what becomes of the broker. */
const { pid, port, dataDirectory } = await startKafka();
process.stdout.write(`${JSON.stringify({ pid, port, dataDirectory })}\n`);
