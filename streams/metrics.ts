import { collectDefaultMetrics, Registry } from 'prom-client';
import { DOCUMENT_TYPES } from '../schemas/document-type.ts';
import { OPERATION_NAMES, type DeadLetterReason } from '../schemas/mutation.ts';

const PREFIX = 'datamart_replication_';
const DELIVERY_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

type Labels = Readonly<Record<string, string | number>>;

interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** Counts by label values; adding is one look-up in a Map, hashing labels is left to the scrape. */
export class CounterFamily {
  readonly #labelNames: readonly string[];
  readonly #cells = new Map<string, { labels: Labels; value: number }>();

  constructor(labelNames: readonly string[]) {
    this.#labelNames = labelNames;
  }

  add(amount: number, ...labelValues: readonly string[]): void {
    if (amount === 0) return;
    const key = labelValues.join('\u0000');
    const cell = this.#cells.get(key);
    if (cell) {
      cell.value += amount;
      return;
    }
    const labels = Object.fromEntries(this.#labelNames.map((name, i) => [name, labelValues[i] ?? '']));
    this.#cells.set(key, { labels, value: amount });
  }

  /** Ends every series whose label `name` has this value. */
  remove(name: string, value: string): void {
    for (const [key, { labels }] of this.#cells) if (labels[name] === value) this.#cells.delete(key);
  }

  samples(): readonly Sample[] {
    return [...this.#cells.values()];
  }
}

/** Where a gauge's samples come from: asked at every scrape. */
export type GaugeSource = () => readonly Sample[];

/**
 * Every metric of the engine (CONTRACT: metrics). The hot path adds to plain counters and typed arrays; Prometheus'
 * labels are made when somebody scrapes.
 */
export class EngineMetrics {
  readonly registry = new Registry();
  readonly mutations = new CounterFamily(['topic', 'result']);
  readonly operations = new CounterFamily(['replication_id', 'result']);
  readonly publishRequests = new CounterFamily(['replication_id', 'code']);
  readonly retries = new CounterFamily(['replication_id', 'code']);
  readonly deadLetters = new CounterFamily(['reason']);
  readonly configRefused = new CounterFamily(['reason']);
  readonly syncRequestsRefused = new CounterFamily(['reason']);
  readonly offsetResets = new CounterFamily(['topic', 'partition']);
  readonly activations = new CounterFamily(['code']);
  readonly rebalances = new CounterFamily([]);
  readonly restarts = new CounterFamily([]);
  readonly detaches = new CounterFamily(['replication_id']);
  readonly catchUps = new CounterFamily(['replication_id']);
  readonly initialSyncDocuments = new CounterFamily(['replication_id']);
  readonly lostOffsets = new CounterFamily(['replication_id']);
  readonly snapshotRecords = new CounterFamily(['result']);
  /** Delivered operations by document type and operation: `docType * 2 + op`. */
  readonly documents = new Float64Array(DOCUMENT_TYPES.length * OPERATION_NAMES.length);
  readonly #deliveryCounts = new Float64Array(DELIVERY_BUCKETS.length + 1);
  #deliverySum = 0;

  constructor() {
    this.#counter('mutations_total', 'Mutations taken from a topic, by what became of them', this.mutations);
    this.#counter('operations_total', 'Operations by replication and result', this.operations);
    this.#counter('publish_requests_total', 'Requests to a destination by outcome', this.publishRequests);
    this.#counter('retries_total', 'Requests tried again, by the reason', this.retries);
    this.#counter('dead_letters_total', 'Records stored in the dead letters, by reason', this.deadLetters);
    this.#counter(
      'config_refused_total',
      'Records of the control topic refused, by reason',
      this.configRefused,
    );
    this.#counter(
      'initial_sync_requests_refused_total',
      'Requests of initial synchronizations refused or ignored, by reason',
      this.syncRequestsRefused,
    );
    this.#counter('offset_resets_total', 'Times a position was outside the log', this.offsetResets);
    this.#counter('activations_total', 'Destinations opened and checked, by outcome', this.activations);
    this.#counter('rebalances_total', 'Times this instance was assigned partitions anew', this.rebalances);
    this.#counter('restarts_total', 'Restarts of the consumer', this.restarts);
    this.#counter('detaches_total', 'Times a partition stopped waiting for a replication', this.detaches);
    this.#counter('catch_ups_total', 'Times a replication came back to the live mutations', this.catchUps);
    this.#counter(
      'initial_sync_documents_total',
      'Operations that initial synchronizations have delivered',
      this.initialSyncDocuments,
    );
    this.#counter(
      'lost_offsets_total',
      'Offsets that retention took before a replication had them',
      this.lostOffsets,
    );
    this.#counter(
      'snapshot_records_total',
      'Mutations that the snapshot has taken, by what became of them',
      this.snapshotRecords,
    );
    this.#register('documents_total', 'Operations delivered, by document type and operation', 'counter', () =>
      DOCUMENT_TYPES.flatMap((docType, i) =>
        OPERATION_NAMES.map((op, j) => ({
          labels: { doc_type: docType, op },
          value: this.documents[i * 2 + j] ?? 0,
        })),
      ).filter(({ value }) => value > 0),
    );
    this.#registerDeliveryHistogram();
  }

  /** Adds the metrics of the process itself: CPU, memory, event loop, garbage collection. Called once per process. */
  collectProcessMetrics(): void {
    collectDefaultMetrics({ register: this.registry });
  }

  /** Adds a gauge whose samples are asked for at every scrape. */
  gauge(name: string, help: string, source: GaugeSource): void {
    this.#register(name, help, 'gauge', source);
  }

  /** `count` operations took this long from their fetch to the destination's acknowledgement. */
  observeDelivery(seconds: number, count: number): void {
    let bucket = 0;
    while (bucket < DELIVERY_BUCKETS.length && seconds > (DELIVERY_BUCKETS[bucket] ?? Infinity)) bucket += 1;
    this.#deliveryCounts[bucket] = (this.#deliveryCounts[bucket] ?? 0) + count;
    this.#deliverySum += seconds * count;
  }

  countDeadLetter(reason: DeadLetterReason): void {
    this.deadLetters.add(1, reason);
  }

  /** A deleted replication's series end. */
  forgetReplication(id: string): void {
    for (const family of [
      this.operations,
      this.publishRequests,
      this.retries,
      this.detaches,
      this.catchUps,
      this.initialSyncDocuments,
      this.lostOffsets,
    ])
      family.remove('replication_id', id);
  }

  /** The text that Prometheus scrapes. */
  scrape(): Promise<string> {
    return this.registry.metrics();
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  #counter(name: string, help: string, family: CounterFamily): void {
    this.#register(name, help, 'counter', () => family.samples());
  }

  #register(name: string, help: string, type: 'counter' | 'gauge', source: GaugeSource): void {
    const fullName = PREFIX + name;
    this.#registerMetric(fullName, {
      name: fullName,
      help,
      type,
      values: () => source().map(({ labels, value }) => ({ labels, value })),
    });
  }

  #registerDeliveryHistogram(): void {
    const name = `${PREFIX}delivery_seconds`;
    this.#registerMetric(name, {
      name,
      help: 'Seconds from the fetch of a mutation to the acknowledgement of its operation',
      type: 'histogram',
      values: () => {
        let total = 0;
        const buckets = [...DELIVERY_BUCKETS, Number.POSITIVE_INFINITY].map((le, i) => {
          total += this.#deliveryCounts[i] ?? 0;
          const label = le === Number.POSITIVE_INFINITY ? '+Inf' : le;
          return { metricName: `${name}_bucket`, labels: { le: label }, value: total };
        });
        return [
          ...buckets,
          { metricName: `${name}_sum`, labels: {}, value: this.#deliverySum },
          { metricName: `${name}_count`, labels: {}, value: total },
        ];
      },
    });
  }

  /** prom-client renders anything that has a name and a `get`; only its own metric classes are in its types. */
  #registerMetric(
    name: string,
    metric: { name: string; help: string; type: string; values: () => readonly object[] },
  ): void {
    const { help, type, values } = metric;
    const source = {
      name,
      help,
      type,
      aggregator: 'sum',
      get: () => Promise.resolve({ name, help, type, aggregator: 'sum', values: values() }),
      reset: () => undefined,
    };
    this.registry.registerMetric(source as unknown as Parameters<Registry['registerMetric']>[0]);
  }
}
