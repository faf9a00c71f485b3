import type { ConsumedBatch, ConsumedRecord } from '../../streams/kafka-port.ts';

/** The batch on bytes of its own, which its `release` spoils: whoever looks at them afterwards sees something else. */
export function spoiledOnRelease(
  batch: ConsumedBatch,
  onRelease: () => void = () => undefined,
): ConsumedBatch {
  const lent: Buffer[] = [];
  const lend = <Value>(value: Value): Value => {
    if (Array.isArray(value)) return value.map(lend) as Value & unknown[];
    if (!Buffer.isBuffer(value)) return value;
    const copy = Buffer.from(value);
    lent.push(copy);
    return copy as Value & Buffer;
  };
  const lendAll = ({ key, value, headers, ...rest }: ConsumedRecord): ConsumedRecord => ({
    ...rest,
    key: lend(key),
    value: lend(value),
    headers: Object.fromEntries(Object.entries(headers).map(([name, header]) => [name, lend(header)])),
  });
  return {
    ...batch,
    records: batch.records.map(lendAll),
    release: () => {
      for (const bytes of lent) bytes.fill(0xff);
      onRelease();
    },
  };
}
