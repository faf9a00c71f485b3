import type { DeliveryCosts, RequestLimits } from '../../schemas/delivery-costs.ts';
import type { MessageOptions } from '../sink.ts';
import { EventEncoder } from './events.ts';

/** What senders in the field stay at, below the 1 MiB that the standard tier's links announce. */
export const MAX_BATCH_BYTES = 1_000_000;
const MAX_RECORDS = 5_000;

const BYTES_PER_BILLED_EVENT = 64 * 1024;
const UNIT = { bytesPerSecond: 1_000_000, eventsPerSecond: 1_000 };

/** Of a batch, over a link that takes messages of at most `linkBytes`. */
export function requestLimits(encoder: EventEncoder, linkBytes: number): RequestLimits {
  return {
    maxRecords: MAX_RECORDS,
    maxBytes: Math.min(MAX_BATCH_BYTES, linkBytes) - encoder.batchOverheadBytes(),
    recordOverheadBytes: encoder.recordOverheadBytes(),
  };
}

/**
 * Event Hubs bills capacity by the hour, in throughput units of 1 MB or 1,000 events a second, and on the basic and
 * standard tiers also each event: one of up to 64 KB once, a larger one in multiples of that.
 */
export function eventHubsCosts({ messageId }: MessageOptions): DeliveryCosts {
  const encoder = new EventEncoder({ messageId });
  return {
    limits: requestLimits(encoder, MAX_BATCH_BYTES),
    billing: {
      by: 'events',
      eventOverheadBytes: encoder.recordOverheadBytes(),
      bytesPerBilledEvent: BYTES_PER_BILLED_EVENT,
      unit: UNIT,
      source: 'https://azure.microsoft.com/en-us/pricing/details/event-hubs/',
    },
  };
}
