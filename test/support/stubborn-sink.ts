import type { Sink, SinkAdapter } from '../../sinks/sink.ts';

/** What `send` does: the fields `conduct` of a replication of this kind. */
const CONDUCTS = ['hang', 'throw', 'reject and hang'];

/** Given away in the message of what is thrown. */
export const STUBBORN_SECRET = 'c2VjcmV0LW9mLWEtc2luaw==';

/** A third party's sink that doesn't keep the contract, for `SINKS_MODULES`: nobody ends what it has begun. */
export const sinkAdapter: SinkAdapter<{ readonly conduct: string }> = {
  type: 'STUBBORN',
  versions: [1],
  fields: ['conduct'],
  options: { messageId: false, ordering: null, orderingLanes: false },
  credentials: 'none',
  parseConfig: ({ conduct }) =>
    typeof conduct === 'string' && CONDUCTS.includes(conduct)
      ? { config: { conduct } }
      : {
          problem: { code: 'invalid_conduct', field: 'conduct', message: 'conduct must be one of the known' },
        },
  checkCredentials: () => null,
  open: async ({ config }) => stubbornSink(config.conduct),
};

function stubbornSink(conduct: string): Sink {
  const never = new Promise<never>(() => undefined);
  return {
    limits: { maxRecords: 1_000, maxBytes: 1_000_000, recordOverheadBytes: 0 },
    check: async () => [],
    send: async ({ count }) => {
      if (conduct === 'throw') {
        setImmediate(() => {
          throw new TypeError(`a timer of the sink failed: SharedAccessKey=${STUBBORN_SECRET}`);
        });
        return { delivered: count, failure: null };
      }
      if (conduct === 'reject and hang') {
        void Promise.reject(new RangeError(`nobody caught: SharedAccessKey=${STUBBORN_SECRET}`));
      }
      return never;
    },
    close: async () => (conduct.endsWith('hang') ? never : undefined),
  };
}
