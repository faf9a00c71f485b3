-- Version 1: a topic without schema, and a subscription that writes metadata. Replace PROJECT and DATASET. See README.md.

-- Every operation that arrives, as often as it arrives. The subscription fills it.
CREATE TABLE IF NOT EXISTS `PROJECT.DATASET.operations`
(
  subscription_name STRING,
  message_id STRING OPTIONS (description = "Pub/Sub's own id of the message"),
  publish_time TIMESTAMP,
  data STRING OPTIONS (description = 'the operation, as JSON text'),
  attributes JSON OPTIONS (description = 'doc_type and, with "metadata": ["message_id"], the id of the mutation')
)
PARTITION BY DATE(publish_time);

-- Each operation once. Without message ids of mutations only what BigQuery wrote twice is found, not what was published
-- twice.
CREATE OR REPLACE VIEW `PROJECT.DATASET.distinct_operations` AS
SELECT
  JSON_VALUE(attributes, '$.doc_type') AS doc_type,
  JSON_VALUE(data, '$.doc_id') AS doc_id,
  SUBSTR(JSON_VALUE(data, '$.doc_id'), 1, 36) AS ctx_id,
  JSON_VALUE(data, '$.op') AS op,
  TIMESTAMP_MILLIS(CAST(JSON_VALUE(data, '$.ts') AS INT64)) AS ts,
  JSON_QUERY(data, '$.value') AS value,
  JSON_VALUE(attributes, '$.message_id') AS mutation_id,
  publish_time,
  message_id AS pubsub_id
FROM `PROJECT.DATASET.operations`
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY COALESCE(JSON_VALUE(attributes, '$.message_id'), message_id), JSON_VALUE(attributes, '$.doc_type'), JSON_VALUE(data, '$.doc_id')
  ORDER BY publish_time, message_id
) = 1;

-- The documents as they are now: of each the newest operation, unless it deletes. The id of the mutation decides; rows
-- without one are older than those with one, and among themselves the last published counts, then the greatest ts.
CREATE OR REPLACE VIEW `PROJECT.DATASET.documents` AS
SELECT
  doc_type,
  doc_id,
  ctx_id,
  ts,
  SAFE.PARSE_JSON(value, wide_number_mode => 'round') AS value,
  value AS value_text,
  mutation_id,
  publish_time
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (
      PARTITION BY doc_type, doc_id
      ORDER BY mutation_id DESC, publish_time DESC, ts DESC, pubsub_id DESC
    ) AS age
  FROM `PROJECT.DATASET.distinct_operations`
)
WHERE age = 1 AND op = 'UPDATE';

-- To be compared with what `initial-sync plan` says.
CREATE OR REPLACE VIEW `PROJECT.DATASET.document_counts` AS
SELECT doc_type, COUNT(*) AS documents, MAX(ts) AS newest
FROM `PROJECT.DATASET.documents`
GROUP BY doc_type;
