/** How one setting is written as text or in a file, and what is allowed. */
export interface SettingFormat<T> {
  /** In words, what is allowed; ends an error line. */
  readonly allowed: string;
  /**
   * Takes text (environment, flags), or a file's value, or a value that was parsed before.
   * Undefined when it isn't allowed; never throws.
   */
  parse(raw: unknown): T | undefined;
}

/** Whole numbers of a closed range. */
export function integer(min: number, max: number): SettingFormat<number> {
  return {
    allowed: `a whole number from ${min} to ${max}`,
    parse(raw) {
      const value = typeof raw === 'string' && /^-?\d{1,15}$/.test(raw) ? Number(raw) : raw;
      return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
        ? value
        : undefined;
    },
  };
}

/** `true` or `false`, without case. A bare flag counts as `true`. */
export const trueOrFalse: SettingFormat<boolean> = {
  allowed: 'true or false',
  parse(raw) {
    if (typeof raw === 'boolean') return raw;
    const word = typeof raw === 'string' ? raw.toLowerCase() : '';
    return word === 'true' ? true : word === 'false' ? false : undefined;
  },
};

/** One of a closed list of words, without case. */
export function choice<const Word extends string>(words: readonly Word[]): SettingFormat<Word> {
  return {
    allowed: `one of ${words.join(', ')}`,
    parse: (raw) => (typeof raw === 'string' ? words.find((word) => word === raw.toLowerCase()) : undefined),
  };
}

/** Text of which the whole must match. */
export function text(pattern: RegExp, allowed: string): SettingFormat<string> {
  return { allowed, parse: (raw) => (typeof raw === 'string' && pattern.test(raw) ? raw : undefined) };
}

/** Any text that isn't empty; kept as it is, spaces included. */
export const anyText: SettingFormat<string> = text(/[^]/, 'text; in a file it has to be quoted');

/** A path of a file or directory. */
export const path: SettingFormat<string> = text(/^[^\0]+$/, 'a path');

/** Commas between values; in a file also a list. Spaces around values are cut; an empty list is refused. */
export function list<T extends string>(item: SettingFormat<T>): SettingFormat<readonly T[]> {
  return {
    allowed: `${item.allowed}; several with commas between them`,
    parse(raw) {
      const entries: readonly unknown[] =
        typeof raw === 'string' ? raw.split(',') : Array.isArray(raw) ? raw : [raw];
      const values = entries.map((entry) => item.parse(typeof entry === 'string' ? entry.trim() : entry));
      const known = values.filter((value) => value !== undefined);
      return known.length === values.length && known.length > 0 ? known : undefined;
    },
  };
}

/** `host:port`. IPv6 literals are left out: the Kafka client cuts at the first colon. */
export const hostAndPort: SettingFormat<string> = {
  allowed: 'host:port, for example kafka-1:9092',
  parse(raw) {
    if (typeof raw !== 'string') return undefined;
    const match = /^[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9])?:(\d{1,5})$/.exec(raw);
    const port = Number(match?.[1]);
    return port >= 1 && port <= 65_535 ? raw : undefined;
  },
};

/** A name or address to listen on. */
export const listenHost: SettingFormat<string> = text(
  /^[A-Za-z0-9:._-]{1,253}$/,
  'a host name or IP address',
);

/** An HTTP address. User and password have settings of their own, so that they are never part of a log line. */
export const httpUrl: SettingFormat<string> = {
  allowed: 'an http:// or https:// address without user and password',
  parse(raw) {
    if (typeof raw !== 'string' || !URL.canParse(raw)) return undefined;
    const url = new URL(raw);
    const isPlain = url.username === '' && url.password === '' && url.search === '' && url.hash === '';
    return isPlain && (url.protocol === 'http:' || url.protocol === 'https:') ? raw : undefined;
  },
};

/** A name that Kafka takes for a topic. */
export const topicName: SettingFormat<string> = text(
  /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}$/,
  'a topic name: 1 to 249 of A-Z a-z 0-9 . _ -',
);

/** A consumer group or client id. 200 characters leave room for the suffixes of the groups beside the main one. */
export const kafkaId: SettingFormat<string> = text(
  /^[\x21-\x7e]{1,200}$/,
  '1 to 200 characters without spaces',
);

/** A kind of destination, as in a replication's `type`. */
export const sinkType: SettingFormat<string> = text(
  /^[A-Z][A-Z0-9_]{2,39}$/,
  'a sink type: 3 to 40 of A-Z 0-9 _, first a letter',
);

/** 32 bytes in base64. Stays text here; `keyBytes` decodes it. */
export const base64Key: SettingFormat<string> = {
  allowed: '32 bytes in base64, as `openssl rand -base64 32` prints them',
  parse: (raw) => (typeof raw === 'string' && keyBytes(raw).length === 32 ? raw : undefined),
};

/** The bytes of a base64 text; none when it isn't base64. */
export function keyBytes(base64: string): Buffer {
  const isBase64 = /^[A-Za-z0-9+/]+={0,2}$/.test(base64);
  return Buffer.from(isBase64 ? base64 : '', 'base64');
}
