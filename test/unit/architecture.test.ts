import { expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  findCycle,
  forbiddenImports,
  homelessImports,
  readImports,
  type DependencyRule,
  type ModuleImport,
  type PackageHomes,
} from '../support/module-graph.ts';

const SINK_PORT = 'sinks/sink.ts';
const LOGGER = 'streams/logger.ts';
const JSON_OBJECT = 'schemas/json-object.ts';
const NEAREST_NAME = 'schemas/nearest-name.ts';
const REDACTED_TEXT = 'schemas/redacted-text.ts';

/** DESIGN.md: who may import whom. Type imports count. */
const DEPENDENCIES: readonly DependencyRule[] = [
  { from: 'schemas/', to: [] },
  { from: 'processors/', to: ['schemas/'] },
  { from: SINK_PORT, to: ['schemas/'] },
  { from: 'sinks/', to: ['schemas/', SINK_PORT] },
  { from: 'sinks/google-pubsub/', to: ['schemas/', SINK_PORT] },
  { from: 'sinks/azure-event-hubs/', to: ['schemas/', SINK_PORT] },
  { from: 'sinks/kafka-topic/', to: ['schemas/', SINK_PORT] },
  { from: 'sinks/file/', to: ['schemas/', SINK_PORT] },
  {
    from: 'streams/',
    to: ['schemas/', 'processors/', SINK_PORT, 'sinks/registry.ts', 'sinks/credentials.ts'],
  },
  // Keeps the port that this sink is handed.
  { from: 'streams/kafka/sink-producers.ts', to: ['streams/', 'sinks/kafka-topic/record-producer.ts'] },
  { from: 'api/', to: ['schemas/', 'processors/', LOGGER] },
  { from: 'config/', to: [LOGGER, JSON_OBJECT, NEAREST_NAME, REDACTED_TEXT] },
  { from: 'local/', to: ['schemas/'] },
  {
    from: 'commands/',
    to: ['api/', 'config/', 'processors/', 'schemas/', 'sinks/', 'streams/'],
  },
  ...[
    'commands/demo',
    'commands/kafka',
    'commands/generate',
    'commands/mutation-outputs',
    'commands/schema-registration',
  ].map((from) => ({
    from,
    to: ['api/', 'commands/', 'config/', 'local/', 'processors/', 'schemas/', 'sinks/', 'streams/'],
  })),
  { from: 'cli.ts', to: ['commands/', 'config/'] },
  { from: 'bin.ts', to: ['cli.ts'] },
  { from: 'scripts/', to: [] },
  { from: 'bench/', to: [''] },
];

/** Each package has one home; besides, whatever stands in for a cloud on one machine, and what is measured against. */
const PACKAGE_HOMES: PackageHomes = {
  '@azure/event-hubs': ['sinks/azure-event-hubs/'],
  '@fastify/multipart': ['api/'],
  '@google-cloud/pubsub': ['sinks/google-pubsub/', 'local/', 'bench/'],
  '@grpc/grpc-js': ['sinks/google-pubsub/', 'local/', 'bench/'],
  '@kafkajs/confluent-schema-registry': ['schemas/', 'local/'],
  '@node-rs/crc32': ['streams/kafka/'],
  avsc: ['schemas/', 'local/', 'bench/'],
  commander: ['cli.ts', 'commands/'],
  convict: ['config/'],
  fastify: ['api/'],
  kafkajs: ['streams/kafka/', 'local/', 'bench/'],
  'lz4-napi': ['streams/kafka/'],
  pino: ['config/'],
  'pino-pretty': ['config/'],
  'prom-client': ['streams/metrics.ts'],
  rhea: ['local/'],
  snappyjs: ['streams/kafka/'],
  yaml: ['config/'],
};

const root = join(import.meta.dirname, '../..');
const folders = 'api,bench,commands,config,local,processors,schemas,scripts,sinks,streams';
const imports = readImports(root, ['{bin,cli}.ts', `{${folders}}/**/*.ts`]);

test('imports only what the dependency rule allows', () => {
  expect(forbiddenImports(imports, DEPENDENCIES)).toEqual([]);
});

test('imports each package only in its home', () => {
  expect(homelessImports(imports, PACKAGE_HOMES)).toEqual([]);
});

test('has no import cycle, type imports included', () => {
  const all = [...imports, ...readImports(root, ['test/**/*.ts'])];

  expect(findCycle(all)).toEqual([]);
});

test('depends on no package that nothing imports', () => {
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    readonly dependencies: Readonly<Record<string, string>>;
  };

  expect(Object.keys(PACKAGE_HOMES).sort()).toEqual(Object.keys(dependencies).sort());
  expect(Object.keys(dependencies).filter((name) => !imports.some(({ to }) => to === name))).toEqual([]);
});

test('sees a forbidden import, a homeless package and a cycle', () => {
  const bad: readonly ModuleImport[] = [
    { from: 'schemas/a.ts', to: 'streams/b.ts', isPackage: false },
    { from: 'streams/b.ts', to: 'schemas/a.ts', isPackage: false },
    { from: 'unknown/c.ts', to: 'schemas/a.ts', isPackage: false },
    { from: 'streams/b.ts', to: 'pino', isPackage: true },
    { from: 'streams/b.ts', to: 'left-pad', isPackage: true },
  ];

  expect(forbiddenImports(bad, DEPENDENCIES)).toEqual([
    'schemas/a.ts → streams/b.ts',
    'unknown/c.ts → schemas/a.ts',
  ]);
  expect(homelessImports(bad, PACKAGE_HOMES)).toEqual(['streams/b.ts → pino', 'streams/b.ts → left-pad']);
  expect(findCycle(bad)).toEqual(['schemas/a.ts', 'streams/b.ts', 'schemas/a.ts']);
});

test('finds static, type, re-export and dynamic imports', () => {
  const found = readImports(root, [
    'cli.ts',
    'commands/start-command.ts',
    'streams/kafka/kafkajs.ts',
    'streams/kafka/kafkajs-port.ts',
  ]);

  expect(found).toEqual(
    expect.arrayContaining([
      { from: 'cli.ts', to: 'commands/start-command.ts', isPackage: false },
      { from: 'commands/start-command.ts', to: 'commands/start.ts', isPackage: false },
      { from: 'commands/start-command.ts', to: 'commands/cli-process.ts', isPackage: false },
      { from: 'cli.ts', to: 'commander', isPackage: true },
      { from: 'streams/kafka/kafkajs.ts', to: 'kafkajs', isPackage: true },
    ]),
  );
});
