/** How far something long is, of all that there is to read: offsets, or bytes. */
export interface ScanProgress {
  /** What is being read. */
  readonly reading: string;
  readonly read: number;
  readonly total: number;
}
