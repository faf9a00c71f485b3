const WARM_UP_MESSAGES = 400_000;
const MIN_RECORDS = 40_000;

/** How many records are read before anything is measured: enough for V8 to compile what is hot. */
export function warmUpRecords(replications: number): number {
  return Math.max(MIN_RECORDS, WARM_UP_MESSAGES / replications);
}
