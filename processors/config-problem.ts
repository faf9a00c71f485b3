/**
 * Every code with which a record of the control topic is refused; the API answers with the same, but for
 * `config_unparseable`, which is `invalid_json` there. A third party's kind of destination adds `invalid_<field>` for
 * fields of its own.
 */
export const CONFIG_PROBLEM_CODES = [
  'payload_too_large',
  'config_unparseable',
  'config_key_mismatch',
  'missing_field',
  'unknown_field',
  'field_not_applicable',
  'unsupported_type',
  'version_not_supported_for_type',
  'unknown_document',
  'empty_filters',
  'filter_not_supported',
  'immutable_field',
  'filters_immutable',
  'too_many_replications',
  'invalid_id',
  'invalid_datamart_id',
  'invalid_name',
  'invalid_version',
  'invalid_status',
  'invalid_replication_filters',
  'invalid_credentials_uri',
  'invalid_resume',
  'invalid_metadata',
  'invalid_user_point_parent',
  'invalid_ordering',
  'invalid_ordering_lanes',
  'invalid_created',
  'invalid_project_id',
  'invalid_topic_id',
  'invalid_endpoint',
  'invalid_event_hub_name',
  'invalid_topic',
  'invalid_brokers',
  'invalid_path',
] as const;

export type ConfigProblemCode = (typeof CONFIG_PROBLEM_CODES)[number];

/** Why a record of the control topic is refused. The codes are those of the API. */
export interface ConfigProblem {
  /** One of `CONFIG_PROBLEM_CODES`, or what a third party's adapter says of its own fields. */
  readonly code: string;
  /** The record's field that is to blame; null when it is the record as a whole. */
  readonly field: string | null;
  /** What is wrong and what helps, complete by itself. Repeats no value of the record. */
  readonly message: string;
  /** Further words: an example, or where to go on. */
  readonly hint?: string;
}

/** Ends the judgement of a record within the rules; `judgeConfig` makes a value of it. */
export class RefusedRecordError extends Error {
  override readonly name = 'RefusedRecordError';
  readonly problem: ConfigProblem;

  constructor(problem: ConfigProblem) {
    super(problem.message);
    this.problem = problem;
  }
}

/** A refusal by one of this program's own rules. */
export function refusal(
  code: ConfigProblemCode,
  field: string | null,
  message: string,
  hint?: string,
): RefusedRecordError {
  return new RefusedRecordError({ code, field, message, ...(hint === undefined ? {} : { hint }) });
}
