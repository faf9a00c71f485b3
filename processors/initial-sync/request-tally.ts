import type { DeliveryCosts } from '../../schemas/delivery-costs.ts';
import type { DocumentTypeIndex } from '../../schemas/document-type.ts';

/** What a number of operations comes to in requests, and what is billed for them. Null: it isn't known, or isn't billed so. */
export interface RequestEstimate {
  readonly requests: number | null;
  readonly billedBytes: number | null;
  readonly billedEvents: number | null;
  /** Seconds of one unit of capacity that is used whole. */
  readonly throughputUnitSeconds: number | null;
}

/** A request that is being filled. */
interface OpenRequest {
  records: number;
  bytes: number;
  billedBytes: number;
}

/**
 * Packs operations into requests as lanes do: one partition and, with ordering, one ordering lane a request, as many as
 * its limits hold. A sync that is slowed by its rate or by live operations sends smaller ones, so this is the least.
 */
export class RequestTally {
  readonly #costs: DeliveryCosts | null;
  /** By ordering lane. */
  readonly #open: OpenRequest[];
  #operations = 0;
  #requests = 0;
  #billedBytes = 0;
  #billedEvents = 0;
  #eventBytes = 0;

  /** `orderingLanes` is 0 without ordering. Null costs: nothing is known of the destination. */
  constructor(costs: DeliveryCosts | null, orderingLanes: number) {
    this.#costs = costs;
    this.#open = Array.from({ length: Math.max(1, orderingLanes) }, () => ({
      records: 0,
      bytes: 0,
      billedBytes: 0,
    }));
  }

  /** The partition's next operation, of `bytes`. */
  add(docType: DocumentTypeIndex, laneHash: number, bytes: number): void {
    this.#operations += 1;
    if (!this.#costs) return;
    const { limits, billing } = this.#costs;
    const request = this.#open[laneHash % this.#open.length];
    if (!request) throw new RangeError('an ordering lane is no index');
    const size = bytes + limits.recordOverheadBytes;
    const isFull = request.records === limits.maxRecords || request.bytes + size > limits.maxBytes;
    if (isFull && request.records > 0) this.#send(request);
    request.records += 1;
    request.bytes += size;
    if (billing?.by === 'volume') {
      request.billedBytes += bytes + (billing.messageOverheadBytes[docType] ?? 0);
    } else if (billing?.by === 'events') {
      const eventBytes = bytes + billing.eventOverheadBytes;
      this.#eventBytes += eventBytes;
      this.#billedEvents += Math.ceil(eventBytes / billing.bytesPerBilledEvent);
    }
  }

  /** Requests don't reach beyond a partition. */
  endPartition(): void {
    for (const request of this.#open) if (request.records > 0) this.#send(request);
  }

  /** What it came to, once the last partition has ended. */
  get estimate(): RequestEstimate {
    const billing = this.#costs?.billing ?? null;
    const isByEvents = billing?.by === 'events';
    return {
      requests: this.#costs ? this.#requests : null,
      billedBytes:
        billing?.by === 'volume'
          ? this.#billedBytes
          : isByEvents
            ? this.#billedEvents * billing.bytesPerBilledEvent
            : null,
      billedEvents: isByEvents ? this.#billedEvents : null,
      throughputUnitSeconds: isByEvents
        ? Math.max(
            this.#eventBytes / billing.unit.bytesPerSecond,
            this.#operations / billing.unit.eventsPerSecond,
          )
        : null,
    };
  }

  #send(request: OpenRequest): void {
    const billing = this.#costs?.billing;
    this.#requests += 1;
    if (billing?.by === 'volume') this.#billedBytes += Math.max(request.billedBytes, billing.minRequestBytes);
    request.records = 0;
    request.bytes = 0;
    request.billedBytes = 0;
  }
}
