import { Command, Option } from 'commander';
import { replicationId } from '../access-options.ts';
import { FAILED, type CliProcess, type SetExitCode } from '../cli-process.ts';
import { openCommandLog, requireBrokers, settingsOf } from '../command-settings.ts';
import { reportFailure } from '../failure-report.ts';
import { wholeNumber } from '../option-values.ts';
import { addCommonOptions, type CommonOptions } from '../setting-flags.ts';
import { listenForStop } from '../stop-signal.ts';
import { parseReadUntil } from './read-until.ts';

interface VerifyFlags extends CommonOptions {
  readonly replicationId: string;
  readonly from?: readonly string[];
  readonly by: 'arrival' | 'message_id';
  readonly until?: string;
  readonly passes: number;
  readonly examples: number;
  readonly showKeys?: boolean;
}

const VERIFY_HELP = `
Reads what the destination got, KAFKA_TOPIC and FILE by itself, others from an export (--from), folds it per document and
compares it with the snapshot: the last operation of each document counts.
  missing      the snapshot has the document; nothing of it arrived, or a deletion arrived last
  stale        both have it, the destination with another ts or value
  resurrected  it is deleted, and the destination has it
  extra        the destination has it, the snapshot knows nothing of it (deleted longer ago than delete.retention.ms,
               another replication's, or of a type that the filter doesn't select)

Run it at rest: what is on its way counts as a difference. While mutations go on, take the --until that a run prints.

A line of an export is a JSON object: an operation (ts, doc_type, doc_id, op, value, and message_id if there is one), or
a message around it (data as text or base64, attributes), as Pub/Sub's pull gives it. Lines are in the order of arrival,
or --by message_id puts them in order. README.md shows how to bring BigQuery and Pub/Sub to it.

Takes 30 to 61 MB of memory per million documents (46 to 93 with --by message_id), half as much again while it grows;
--passes N takes an N-th, and reads everything N times.

Exit codes: 0 no difference, 1 a difference, or it couldn't be compared, 2 usage.
`;

/** `initial-sync verify` */
export function verifyCommand(host: CliProcess, setExitCode: SetExitCode): Command {
  const command = new Command('verify')
    .description('compare what a destination got with the snapshot')
    .requiredOption('--replication-id <id>', 'whose destination', replicationId)
    .option('--from <file...>', 'what the destination got, exported as JSON lines')
    .addOption(
      new Option('--by <order>', 'what tells the last operation of a document')
        .choices(['arrival', 'message_id'])
        .default('arrival'),
    )
    .option('--until <offsets>', 'read no further: topic/partition:offset, several with commas between them')
    .option('--passes <number>', 'read everything so often, in as little memory', wholeNumber(1, 1_000), 1)
    .option('--examples <number>', 'show so many of each kind', wholeNumber(0, 10_000), 10)
    .option('--show-keys', 'show the doc_id of examples, not a hash of it; reads everything once more')
    .addHelpText('after', VERIFY_HELP);
  return addCommonOptions(command).action(async (flags: VerifyFlags) => {
    const { stdout: out, stderr: errors } = host;
    const { json: isJson = false } = flags;
    using stop = listenForStop(host.signals, () => {
      host.exit(FAILED);
    });
    try {
      const settings = settingsOf(command, host);
      requireBrokers(settings.kafka);
      const options = {
        replicationId: flags.replicationId,
        exportPaths: flags.from ?? [],
        isByMessageId: flags.by === 'message_id',
        until: flags.until === undefined ? new Map<string, number>() : parseReadUntil(flags.until),
        passes: flags.passes,
        maxExamples: flags.examples,
        showsKeys: flags.showKeys ?? false,
        isJson,
      };
      const { logger } = await openCommandLog(settings, host);
      const { runVerify } = await import('./verify.ts');
      const environment = { out, errors, now: () => performance.now() };
      setExitCode(await runVerify(options, { settings, logger }, environment, stop.signal));
    } catch (error) {
      setExitCode(reportFailure(error, isJson, errors));
    }
  });
}
