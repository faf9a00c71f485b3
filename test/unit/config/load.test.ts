import { expect, test } from '@jest/globals';
import { ConfigError } from '../../../config/config-error.ts';
import { loadSettings, type SettingSources } from '../../../config/load.ts';
import type { Settings } from '../../../config/settings.ts';

const KEY = Buffer.alloc(32, 7).toString('base64');

/** Loads with these sources; files are given by path. */
function load(
  sources: Partial<Omit<SettingSources, 'readFile'>> & { readonly files?: Record<string, string> } = {},
): Settings {
  return loadSettings({
    env: sources.env ?? {},
    flags: sources.flags ?? {},
    configFile: sources.configFile,
    readFile(path) {
      const text = sources.files?.[path];
      if (text === undefined) throw Object.assign(new Error(`no ${path}`), { code: 'ENOENT' });
      return text;
    },
  });
}

function problemsOf(sources: Parameters<typeof load>[0]): readonly string[] {
  try {
    load(sources);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

test('has the defaults of the contract without any source', () => {
  const settings = load();

  expect(settings).toEqual({
    kafka: {
      brokers: [],
      groupId: 'datamart-replication',
      clientId: 'datamart-replication',
      tls: null,
      sasl: null,
      schemaRegistry: null,
      startFrom: 'earliest',
    },
    topics: {
      mutations: ['datamart-mutations'],
      snapshots: ['datamart-snapshot'],
      replicationConfig: 'replication-config',
      replicationCredentials: 'replication-credentials',
      replicationStatus: 'replication-status',
      initialSyncRequests: 'initial-sync-requests',
      initialSyncExecutions: 'initial-sync-executions',
      deadLetters: 'replication-dead-letters',
      deadLettersRetentionHours: 336,
    },
    roles: ['replicate', 'api'],
    http: { host: '127.0.0.1', port: 8080, internal: null, tokensFile: null, rateLimit: 20 },
    credentials: { directory: null, key: null, oldKeys: [] },
    sinks: {
      allowEmulators: false,
      fileDirectory: null,
      enabled: ['GOOGLE_PUBSUB', 'AZURE_EVENT_HUBS', 'KAFKA_TOPIC', 'FILE'],
      modules: [],
      kafkaBrokers: [],
    },
    snapshot: { enabled: true },
    initialSync: { windowHours: 168, maxRate: null },
    delivery: {
      detachAfterMs: 30_000,
      memoryBytes: 256 * 1024 * 1024,
      windowRecords: 10_000,
      windowBytes: 32 * 1024 * 1024,
      shutdownMs: 10_000,
    },
    limits: { replicationsPerDatamart: 100 },
    log: { level: 'info', format: 'auto' },
  });
});

test('freezes the settings at every depth', () => {
  const settings = load();

  expect(Object.isFrozen(settings)).toBe(true);
  expect(Object.isFrozen(settings.topics.mutations)).toBe(true);
});

test('lets the file win over defaults, the environment over the file, and flags over the environment', () => {
  const yaml = 'http:\n  port: 1\n  host: file-host\n  rate_limit: 5\n';

  const settings = load({
    files: { '/c.yaml': yaml },
    env: { CONFIG_FILE: '/c.yaml', HTTP_PORT: '2', HTTP_HOST: 'env-host' },
    flags: { 'http-port': '3' },
  });

  expect(settings.http).toMatchObject({ host: 'env-host', port: 3, rateLimit: 5 });
});

test('takes --config before CONFIG_FILE', () => {
  const files = { '/flag.json': '{"roles":["api"]}', '/env.json': '{"roles":"replicate"}' };

  expect(load({ files, configFile: '/flag.json', env: { CONFIG_FILE: '/env.json' } }).roles).toEqual(['api']);
});

test('reads JSON indented with tabs, and keeps what strings hold', () => {
  const json =
    '{\n\t"kafka": {\n\t\t"sasl_mechanism": "PLAIN", "sasl_username": "a b", "sasl_password": "\\t# x"\n\t}\n}';

  expect(load({ files: { c: json }, configFile: 'c' }).kafka.sasl).toEqual({
    mechanism: 'plain',
    username: 'a b',
    password: '\t# x',
  });
});

test('counts an empty variable, a null and an empty file as unset', () => {
  expect(load({ env: { HTTP_PORT: '', CONFIG_FILE: '' } }).http.port).toBe(8080);
  expect(load({ files: { c: 'http:\n  port:\nkafka:\n' }, configFile: 'c' }).http.port).toBe(8080);
  expect(load({ files: { c: '' }, configFile: 'c' }).http.port).toBe(8080);
});

test('ignores variables that are no settings', () => {
  expect(() => load({ env: { KAFKA_PORT: 'tcp://10.0.0.1:9092', KAFKA_BROKER: 'x' } })).not.toThrow();
});

test('row 50: reports all problems at once, one line each, with key, source and what is allowed', () => {
  const problems = problemsOf({
    files: { '/c.yaml': 'delivery:\n  window_records: 0\nkafka:\n  broker: a:1\n' },
    configFile: '/c.yaml',
    env: { KAFKA_BROKERS: ',', KAFKA_SASL_MECHANISM: 'gssapi', CREDENTIALS_KEY: 'c2hvcnQ=' },
    flags: { 'http-port': '70000', 'htpp-host': 'x' },
  });

  expect(problems).toEqual([
    'kafka.broker (file /c.yaml): unknown key; did you mean kafka.brokers?',
    '--htpp-host (flag): unknown; did you mean --http-host?',
    'KAFKA_BROKERS (environment variable KAFKA_BROKERS): "," isn\'t allowed; allowed is host:port, for example kafka-1:9092; several with commas between them',
    'KAFKA_SASL_MECHANISM (environment variable KAFKA_SASL_MECHANISM): "gssapi" isn\'t allowed; allowed is one of plain, scram-sha-256, scram-sha-512',
    'HTTP_PORT (flag --http-port): "70000" isn\'t allowed; allowed is a whole number from 0 to 65535',
    "CREDENTIALS_KEY (environment variable CREDENTIALS_KEY): the value (not shown) isn't allowed; allowed is 32 bytes in base64, as `openssl rand -base64 32` prints them",
    "DELIVERY_WINDOW_RECORDS (file /c.yaml): 0 isn't allowed; allowed is a whole number from 1 to 1000000",
  ]);
});

test('reads a secret from the file that NAME_FILE names and cuts one newline', () => {
  const settings = load({
    env: {
      KAFKA_SASL_MECHANISM: 'SCRAM-SHA-512',
      KAFKA_SASL_USERNAME: 'u',
      KAFKA_SASL_PASSWORD_FILE: '/run/password',
      CREDENTIALS_KEY_FILE: '/run/key',
    },
    files: { '/run/password': 'p\n\n', '/run/key': `${KEY}\r\n` },
  });

  expect(settings.kafka.sasl).toEqual({ mechanism: 'scram-sha-512', username: 'u', password: 'p\n' });
  expect(settings.credentials.key).toEqual(Buffer.alloc(32, 7));
});

test('takes the path of a secret from the file and from a flag too', () => {
  const files = { '/k': KEY, c: 'credentials:\n  key_file: /k\n' };

  expect(load({ files, configFile: 'c' }).credentials.key).toHaveLength(32);
  expect(load({ files, flags: { 'credentials-key-file': '/k' } }).credentials.key).toHaveLength(32);
});

test('row 50: refuses a secret given twice, and a file of a secret that cannot be read', () => {
  expect(problemsOf({ env: { CREDENTIALS_KEY: KEY, CREDENTIALS_KEY_FILE: '/k' } })).toEqual([
    'CREDENTIALS_KEY (environment variable CREDENTIALS_KEY) and CREDENTIALS_KEY_FILE (environment variable CREDENTIALS_KEY_FILE): both are given; only one of them is allowed',
  ]);
  expect(problemsOf({ env: { CREDENTIALS_KEY_FILE: '/none' } })).toEqual([
    'CREDENTIALS_KEY_FILE (environment variable CREDENTIALS_KEY_FILE): reading /none: no such file; allowed is a readable file',
  ]);
});

test('never repeats a secret, nor a password in an address, nor what a broken file holds', () => {
  const problems = [
    ...problemsOf({ env: { CREDENTIALS_OLD_KEYS: `${KEY},hunter2` } }),
    ...problemsOf({ env: { KAFKA_SCHEMA_REGISTRY_URL: 'http://u:hunter2@registry' } }),
    ...problemsOf({ env: { KAFKA_BROKERS: 'u:hunter2@kafka:9092' } }),
    ...problemsOf({ files: { c: 'kafka: {sasl_password: hunter2' }, configFile: 'c' }),
    ...problemsOf({ files: { c: '{"kafka": {"sasl_password": "hunter2"' }, configFile: 'c' }),
    ...problemsOf({ files: { c: 'kafka:\n  sasl_password: [hunter2]\n' }, configFile: 'c' }),
    ...problemsOf({ files: { c: 'hunter2' }, configFile: 'c' }),
  ];

  expect(problems.length).toBeGreaterThanOrEqual(7);
  expect(problems.join('\n')).not.toContain('hunter2');
});

test('names the line of a broken file', () => {
  const [problem] = problemsOf({
    files: { 'c.yaml': 'http:\n  port: 1\n  port: 2\n' },
    configFile: 'c.yaml',
  });

  expect(problem).toBe("file c.yaml: isn't valid JSON or YAML (line 3: DUPLICATE_KEY)");
});

test('refuses a settings file that cannot be read', () => {
  expect(problemsOf({ env: { CONFIG_FILE: '/none' } })).toEqual([
    'file /none (environment variable CONFIG_FILE): reading /none: no such file; allowed is a readable file',
  ]);
});

test('reads the certificates that TLS needs', () => {
  const files = { '/ca.pem': 'CA', '/cert.pem': 'CERT', '/key.pem': 'KEY' };
  const env = { KAFKA_SSL: 'TRUE', KAFKA_SSL_CA_FILE: '/ca.pem' };

  expect(load({ env, files }).kafka.tls).toEqual({ caPem: 'CA', certPem: null, keyPem: null });
  expect(problemsOf({ env, files: {} })).toEqual([
    'file /ca.pem: reading /ca.pem: no such file; allowed is a readable file',
  ]);
});

test.each([
  [
    { TOPICS_MUTATIONS: 'a,b' },
    /^TOPICS_SNAPSHOT \(default\), TOPICS_MUTATIONS .*2 mutation topics need as many/,
  ],
  [{ TOPICS_MUTATIONS: 'a,b,a', TOPICS_SNAPSHOT: 'x,y,z' }, /^TOPICS_MUTATIONS .*topic a is used twice/],
  [
    { TOPICS_SNAPSHOT: 'replication_status', TOPICS_REPLICATION_STATUS: 'replication.status' },
    /is used twice/,
  ],
  [{ KAFKA_SASL_USERNAME: 'u' }, /^KAFKA_SASL_MECHANISM \(default\).*SASL needs all three/],
  [{ KAFKA_SSL_CA_FILE: '/ca' }, /KAFKA_SSL_CA_FILE .*KAFKA_SSL=true/],
  [{ KAFKA_SSL: 'true', KAFKA_SSL_CERT_FILE: '/c' }, /mutual TLS needs both/],
  [{ KAFKA_SCHEMA_REGISTRY_USERNAME: 'u' }, /the registry needs both/],
  [
    { KAFKA_SCHEMA_REGISTRY_USERNAME: 'u', KAFKA_SCHEMA_REGISTRY_PASSWORD: 'p' },
    /has no effect without KAFKA_SCHEMA_REGISTRY_URL/,
  ],
  [{ SINKS_ENABLED: 'FILE,MY_SINK' }, /MY_SINK is none of/],
  [{ DELIVERY_WINDOW_MB: '512' }, /^DELIVERY_WINDOW_MB .*DELIVERY_MEMORY_MB \(default\).*doesn't fit/],
  [{ CREDENTIALS_OLD_KEYS: KEY }, /former keys need a present one/],
])('refuses the contradiction in %j', (env, expected) => {
  expect(problemsOf({ env, files: { '/c': '', '/ca': '' } }).join('\n')).toMatch(expected);
});

test('gives health and metrics an address of their own only when it is another', () => {
  expect(load({ env: { HTTP_INTERNAL_PORT: '9090' } }).http.internal).toEqual({
    host: '127.0.0.1',
    port: 9090,
  });
  expect(load({ env: { HTTP_INTERNAL_HOST: '127.0.0.1' } }).http.internal).toBeNull();
});

test('collapses duplicates in roles and brokers', () => {
  const settings = load({ env: { ROLES: 'api, api', KAFKA_BROKERS: 'a:1,a:1 , b:2' } });

  expect(settings.roles).toEqual(['api']);
  expect(settings.kafka.brokers).toEqual(['a:1', 'b:2']);
});

test('takes a bare boolean flag as true', () => {
  expect(load({ flags: { 'sinks-allow-emulators': true } }).sinks.allowEmulators).toBe(true);
});
