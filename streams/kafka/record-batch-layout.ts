/** Where Kafka's record batch of magic 2 has its fields: https://kafka.apache.org/documentation/#recordbatch */
export const FIRST_OFFSET_AT = 0;
export const LENGTH_AT = 8;
export const LEADER_EPOCH_AT = 12;
export const MAGIC_AT = 16;
export const CRC_AT = 17;
export const ATTRIBUTES_AT = 21;
export const LAST_OFFSET_DELTA_AT = 23;
export const FIRST_TIMESTAMP_AT = 27;
export const MAX_TIMESTAMP_AT = 35;
export const PRODUCER_ID_AT = 43;
export const PRODUCER_EPOCH_AT = 51;
export const FIRST_SEQUENCE_AT = 53;
export const COUNT_AT = 57;
export const RECORDS_AT = 61;
/** `length` counts what follows it. */
export const BEFORE_LENGTH_COUNTS = 12;

export const RECORD_BATCH_MAGIC = 2;
