-- Brings what has arrived to the JSON lines that `initial-sync verify --from` reads. Replace PROJECT, DATASET, BUCKET.
-- Give `verify` the files in the order of their names: BigQuery keeps ORDER BY over all files of an export. Messages of
-- one publish request have one publish_time, so with "metadata": ["message_id"] compare --by message_id.

-- Version 2.
EXPORT DATA OPTIONS (
  uri = 'gs://BUCKET/operations/version-2-*.jsonl',
  format = 'JSON',
  overwrite = TRUE
) AS
SELECT
  UNIX_MICROS(ts) AS ts,
  JSON_VALUE(attributes, '$.doc_type') AS doc_type,
  doc_id,
  op,
  value,
  JSON_VALUE(attributes, '$.message_id') AS message_id
FROM `PROJECT.DATASET.operations`
ORDER BY publish_time, ts;

-- Version 1: the message as it came.
EXPORT DATA OPTIONS (
  uri = 'gs://BUCKET/operations/version-1-*.jsonl',
  format = 'JSON',
  overwrite = TRUE
) AS
SELECT data, TO_JSON_STRING(attributes) AS attributes
FROM `PROJECT.DATASET.operations`
ORDER BY publish_time, JSON_VALUE(data, '$.ts');
