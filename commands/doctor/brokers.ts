import type { KafkaSettings } from '../../config/settings.ts';
import type { BrokerAnswer, BrokerProbe } from '../../streams/inspection-port.ts';
import { failed, ok, reasonOf, type CheckGroup, type Finding, type Prerequisite } from './check.ts';

const TIMEOUT_MS = 20_000;

/** Every address of KAFKA_BROKERS, by itself: a client is content with the first that answers. */
export function brokerChecks(
  kafka: Pick<KafkaSettings, 'brokers' | 'tls' | 'sasl'>,
  probe: BrokerProbe,
  reachable: Prerequisite<BrokerAnswer>,
): CheckGroup {
  const security = `${kafka.tls ? 'TLS' : 'no TLS'}, ${kafka.sasl ? `SASL ${kafka.sasl.mechanism}` : 'no SASL'}`;
  const clusters = new Set<string>();
  return {
    name: 'brokers',
    concurrency: 4,
    checks: kafka.brokers.map((address) => ({
      name: address,
      timeoutMs: TIMEOUT_MS,
      run: async () => {
        let answer: BrokerAnswer;
        try {
          answer = await probe(address);
        } catch (error) {
          return [unreachable(address, kafka, error)];
        }
        reachable.set(answer);
        if (answer.clusterId !== null) clusters.add(answer.clusterId);
        return [broker(address, security, answer), ...otherCluster(address, clusters)];
      },
    })),
  };
}

function broker(address: string, security: string, answer: BrokerAnswer): Finding {
  const { advertised, unsupported, newestFetchVersion } = answer;
  if (unsupported.length > 0)
    return failed(
      address,
      `the broker takes no version of ${unsupported.join(', ')} that this program can send`,
      'run a broker of Apache Kafka 1.0 to 4.x',
    );
  const release =
    newestFetchVersion === null
      ? ''
      : `; Fetch up to version ${newestFetchVersion} (Kafka doesn't tell its release)`;
  const count = advertised.length;
  const members = `${count} broker${count === 1 ? '' : 's'} in the cluster (${advertised.join(', ')})`;
  return ok(address, `answers (${security}); ${members}${release}`);
}

function otherCluster(address: string, clusters: ReadonlySet<string>): Finding[] {
  return clusters.size < 2
    ? []
    : [
        failed(
          address,
          `the addresses belong to ${clusters.size} clusters`,
          'name brokers of one cluster in KAFKA_BROKERS: a client takes whichever answers first',
        ),
      ];
}

function unreachable(
  address: string,
  { tls, sasl }: Pick<KafkaSettings, 'tls' | 'sasl'>,
  error: unknown,
): Finding {
  const reason = reasonOf(error);
  if (/sasl|authenticat/i.test(reason)) {
    const remedy =
      sasl === null
        ? 'the listener asks for SASL: set KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD'
        : 'are KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD right?';
    return failed(address, reason, remedy);
  }
  if (/certificate|self.signed|SSL|TLS/i.test(reason))
    return failed(address, reason, 'are KAFKA_SSL, KAFKA_SSL_CA_FILE and the certificates right?');
  if (/ENOTFOUND|EAI_AGAIN/.test(reason))
    return failed(address, reason, 'the name is not known here: is KAFKA_BROKERS right?');
  // A listener of the other kind hangs up, or never answers.
  const other = tls === null ? 'does the listener ask for TLS (KAFKA_SSL)?' : 'does the listener speak TLS?';
  return failed(address, reason, `does Kafka run there, and is KAFKA_BROKERS right? ${other}`);
}
