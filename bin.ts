#!/usr/bin/env node
import { setFlagsFromString } from 'node:v8';

const NEEDED_NODE = 24;
const [major = '0'] = process.versions.node.split('.');

if (Number(major) < NEEDED_NODE) {
  process.stderr.write(
    `datamart-replication: Node ${NEEDED_NODE} or newer needed, this is ${process.version}; ` +
      `npx -y node@${NEEDED_NODE} ${process.argv[1] ?? ''} ${process.argv.slice(2).join(' ')}\n`,
  );
  process.exitCode = 2;
} else {
  // Without it V8 doesn't see the buffers that fetched batches live in, and collects far too seldom.
  setFlagsFromString('--external-memory-accounted-in-global-limit');
  // Only now: what is imported needs the newer Node itself.
  const { main } = await import('./cli.ts');
  await main();
}
