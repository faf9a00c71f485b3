/** What one request to a destination may hold. */
export interface RequestLimits {
  readonly maxRecords: number;
  /** Of the operations' bytes plus `recordOverheadBytes` for each. */
  readonly maxBytes: number;
  readonly recordOverheadBytes: number;
}

/** By the volume of what is published, with a least amount for each request. */
export interface VolumeBilling {
  readonly by: 'volume';
  /** What a message counts beyond its operation's bytes, by document type index. */
  readonly messageOverheadBytes: readonly number[];
  readonly minRequestBytes: number;
}

/** By events, a large one counting as several, and by capacity that is bought in units. */
export interface EventBilling {
  readonly by: 'events';
  /** What an event counts beyond its operation's bytes, at most. */
  readonly eventOverheadBytes: number;
  /** An event that is longer counts once for each begun part of so many bytes. */
  readonly bytesPerBilledEvent: number;
  /** What one unit of capacity takes in a second, whichever is reached first. */
  readonly unit: { readonly bytesPerSecond: number; readonly eventsPerSecond: number };
}

/** What publishing to a destination takes and costs, for estimates. */
export interface DeliveryCosts {
  readonly limits: RequestLimits;
  /** Null: nothing is known that is billed by what is published. */
  readonly billing:
    | ((VolumeBilling | EventBilling) & {
        /** Where the provider says so. */
        readonly source: string;
      })
    | null;
}
