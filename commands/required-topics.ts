/** A topic that is needed isn't there. */
export class MissingTopicError extends Error {
  override readonly name = 'MissingTopicError';

  constructor(topic: string) {
    super(`topic ${topic} isn't there; \`topics create\` makes it, TOPICS_* name another`);
  }
}

/** Reading a topic that isn't there would be tried for minutes. Throws a `MissingTopicError`. */
export function assertTopics(
  names: readonly string[],
  existing: { readonly has: (name: string) => boolean },
): void {
  const missing = names.find((name) => !existing.has(name));
  if (missing !== undefined) throw new MissingTopicError(missing);
}
