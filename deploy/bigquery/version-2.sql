-- Version 2: a topic with the published Avro schema, and a subscription that uses it and writes metadata.
-- Replace PROJECT and DATASET. See README.md.

-- Every operation that arrives, as often as it arrives. The subscription fills it.
CREATE TABLE IF NOT EXISTS `PROJECT.DATASET.operations`
(
  ts TIMESTAMP OPTIONS (description = 'date of the mutation'),
  doc_type INT64 OPTIONS (description = 'number of the symbol in the Avro enum; its name is in attributes'),
  doc_id STRING OPTIONS (description = 'with the type, names the document'),
  ctx_id STRING OPTIONS (description = 'the user point'),
  op STRING OPTIONS (description = 'UPDATE or DELETE'),
  value STRING OPTIONS (description = 'JSON text'),
  subscription_name STRING,
  message_id STRING OPTIONS (description = "Pub/Sub's own id of the message"),
  publish_time TIMESTAMP,
  attributes JSON OPTIONS (description = 'doc_type and, with "metadata": ["message_id"], the id of the mutation')
)
PARTITION BY DATE(publish_time)
CLUSTER BY doc_id;

-- Each operation once. Without message ids of mutations only what BigQuery wrote twice is found, not what was published
-- twice.
CREATE OR REPLACE VIEW `PROJECT.DATASET.distinct_operations` AS
SELECT
  JSON_VALUE(attributes, '$.doc_type') AS doc_type,
  doc_id,
  ctx_id,
  op,
  ts,
  value,
  JSON_VALUE(attributes, '$.message_id') AS mutation_id,
  publish_time,
  message_id AS pubsub_id
FROM `PROJECT.DATASET.operations`
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY COALESCE(JSON_VALUE(attributes, '$.message_id'), message_id), JSON_VALUE(attributes, '$.doc_type'), doc_id
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
