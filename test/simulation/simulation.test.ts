import { describe, expect, jest, test } from '@jest/globals';
import { findPlanted, runSimulation, SEEDS_PER_BUG } from './plant.ts';
import { PLANTED_BUGS } from './planted-bugs.ts';

jest.setTimeout(600_000);

const SECONDS = 50;
const FEWEST_SEEDS = 140;

/** How often a hundred seeds reach each of these at the least: what the worlds never come to proves nothing. */
const REACHED_PER_HUNDRED_SEEDS: Readonly<Record<string, number>> = {
  claimed: 300,
  detached: 200,
  're-attached': 200,
  'rebalance during a detach': 20,
  'rebalance right after a detach': 1,
  'commit failed': 50,
  'dead letters': 500,
  frozen: 50,
  'consumer crashed': 60,
  'consumer restarted': 25,
  retention: 15,
  'lost to retention': 1,
  gaps: 60,
  stopped: 30,
  'stopped undrained': 2,
  'expelled after its death': 20,
  'positions in a list': 1_000,
  'metadata lost': 10,
  'claimed without metadata': 10,
  'positions taken from reports': 1,
  'partition added': 5,
  'partition adopted': 5,
  'good credentials': 30,
  'bad credentials': 8,
  'credentials refused': 8,
  'credentials uploaded in ERROR': 0.3,
  'activated again': 15,
  'crash after: an activation': 1,
  'replication in ERROR': 2,
  'status DETACHED': 50,
  'config PAUSED': 30,
  'config DELETED': 3,
  'crash after: claimed': 2,
  'crash after: detached': 1,
  'crash after: re-attached': 1,
  'crash when something was sent': 3,
  'crash when something was served': 3,
  'crash when something was answered': 3,
  'crash at send': 5,
  'crash at commit': 3,
  'crash at fetch': 10,
  'crash at join': 10,
  'crash at heartbeat': 2,
  'crash at produce': 1,
  'crash at append': 0.3,
  compaction: 10,
  'sync SUCCEEDED': 10,
  'sync CANCELED': 1,
  'sync refused': 10,
  'sync part succeeded': 15,
  'sync budget raised': 3,
  'rows rejected': 1,
  'snapshot records': 1_000,
  'snapshot deletions': 50,
  'crash at bounds': 2,
  'crash at read datamart-mutations': 2,
  'crash at read replication-config': 20,
  'crash at read replication-status': 20,
};

test('no promise is broken in as many seeds as fit', async () => {
  const { seeds, seconds, failures, reached } = await runSimulation([
    '--seeds',
    '1000000',
    '--seconds',
    String(SECONDS),
    '--least',
    String(FEWEST_SEEDS),
  ]);
  process.stdout.write(`${seeds} seeds in ${seconds} s; reached ${JSON.stringify(reached)}\n`);
  expect(failures).toEqual([]);
  const tooRare = Object.entries(REACHED_PER_HUNDRED_SEEDS).filter(
    ([name, times]) => ((reached[name] ?? 0) * 100) / seeds < times,
  );
  expect(tooRare).toEqual([]);
});

describe(`a planted bug is found in ${SEEDS_PER_BUG} seeds`, () => {
  test.each(PLANTED_BUGS)('$rule: $name', async (bug) => {
    const { failures } = await findPlanted(bug);
    expect(failures).toHaveLength(1);
  });
});
