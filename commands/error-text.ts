/** The messages of an error and its causes that say something new. */
export function reasonsOf(error: unknown): string {
  const reasons: string[] = [];
  for (let cause = error; cause instanceof Error && reasons.length < 5; cause = cause.cause) {
    if (!reasons.some((reason) => reason.includes(cause.message))) reasons.push(cause.message);
  }
  const isUnreachable = reasons.some((reason) => reason.startsWith('Connection '));
  if (isUnreachable) reasons[0] = `${reasons[0]}; is KAFKA_BROKERS right, and does Kafka run?`;
  return reasons.length > 0 ? reasons.join('\n  because: ') : String(error);
}
