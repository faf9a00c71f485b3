import type { DeliveryCosts, RequestLimits } from '../../schemas/delivery-costs.ts';
import { DOCUMENT_TYPES } from '../../schemas/document-type.ts';
import type { MessageOptions } from '../sink.ts';
import { recordOverheadBytes } from './publish-request.ts';

/** Pub/Sub's own limits are 1,000 messages and 10 MB a request; Google's connectors keep the same distance. */
const MAX_RECORDS = 1_000;
const MAX_BYTES = 9_500_000;

const TIMESTAMP_BYTES = 20;
/** Pub/Sub's own ids have 16 or 17 digits now. */
const PUBSUB_ID_BYTES = 20;
const MESSAGE_ID_BYTES = '00008-7-00000000000000000000'.length;
const MIN_REQUEST_BYTES = 1_000;

export function requestLimits(options: Pick<MessageOptions, 'messageId' | 'ordering'>): RequestLimits {
  return { maxRecords: MAX_RECORDS, maxBytes: MAX_BYTES, recordOverheadBytes: recordOverheadBytes(options) };
}

/**
 * Pub/Sub bills the volume that is published: of each message the data, every attribute's key and value, 20 bytes for
 * the time and the id; of each request 1,000 bytes at least. Deliveries to subscriptions are billed beside that, to
 * whoever subscribes.
 */
export function pubSubCosts(options: MessageOptions): DeliveryCosts {
  const messageId = options.messageId ? 'message_id'.length + MESSAGE_ID_BYTES : 0;
  return {
    limits: requestLimits(options),
    billing: {
      by: 'volume',
      messageOverheadBytes: DOCUMENT_TYPES.map(
        (name) => 'doc_type'.length + name.length + messageId + TIMESTAMP_BYTES + PUBSUB_ID_BYTES,
      ),
      minRequestBytes: MIN_REQUEST_BYTES,
      source: 'https://cloud.google.com/pubsub/pricing',
    },
  };
}
