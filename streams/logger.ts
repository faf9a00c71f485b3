/**
 * Where the engine writes what happens. Fields are those of CONTRACT section 9 (`topic`, `partition`, `offset`,
 * `replication_id`, `execution_id`, `code`, `error_id`); an error goes under `error`. Implementations take secrets out.
 */
export interface Logger {
  debug(fields: object, msg: string): void;
  info(fields: object, msg: string): void;
  warn(fields: object, msg: string): void;
  error(fields: object, msg: string): void;
  /** A logger whose lines all carry these fields. */
  child(fields: object): Logger;
}
