import type { ReplicationConfig } from '../processors/replication-config.ts';
import { assertDestinationWorks } from './activation.ts';
import { ApiError, refusedBy } from './api-error.ts';
import type { ControlLog, ControlState, CredentialsSealer, DestinationChecker } from './control-plane.ts';
import type { ReplicationReader } from './replication-reader.ts';
import { confirmed, type ReplicationWriter } from './replication-writer.ts';
import type { SerialByKey } from './serial-by-key.ts';

/** The longest credentials file that is taken. */
export const MAX_CREDENTIALS_BYTES = 16 * 1024;

export interface CredentialsUploadOptions {
  readonly state: ControlState;
  readonly log: ControlLog;
  readonly checker: DestinationChecker;
  /** Null when this instance has no key to seal with. */
  readonly sealer: CredentialsSealer | null;
  readonly reader: ReplicationReader;
  readonly writer: ReplicationWriter;
  readonly turns: SerialByKey;
}

/** Takes a replication's credentials: checked, sealed, and put in force. */
export class CredentialsUpload {
  readonly #options: CredentialsUploadOptions;

  constructor(options: CredentialsUploadOptions) {
    this.#options = options;
  }

  /**
   * The credentials of a replication that delivers, or failed to, are tried at its destination first: when that refuses
   * them, nothing is written and the old ones stay.
   */
  upload(datamartId: string, replicationId: string, file: Buffer): Promise<ReplicationConfig> {
    return this.#options.turns.run(`${datamartId}/${replicationId}`, async () => {
      const { state, log, checker, reader } = this.#options;
      const config = reader.find(datamartId, replicationId);
      const text = this.#checked(config, file);
      const sealer = this.#sealer();
      const withUpload = { ...config, credentialsUri: `sealed:${config.id}` };
      if (config.status === 'ACTIVE') await assertDestinationWorks(checker, withUpload, text);
      const version = nextVersion(config.id, state);
      const sealed = sealer.seal({ datamartId, replicationId: config.id, version }, text);
      await confirmed(log.writeCredentials(config.id, sealed));
      return this.#named(config);
    });
  }

  /** The text, good for the replication's type. */
  #checked(config: ReplicationConfig, file: Buffer): string {
    const type = this.#options.state.replications.rules.types.get(config.type);
    if (!type || type.credentials === 'none')
      throw new ApiError('field_not_applicable', `replications of type ${config.type} need no credentials`);
    const text = textOf(file);
    const problem = type.checkCredentials(text, config.destination);
    if (problem) throw refusedBy(problem);
    return text;
  }

  #sealer(): CredentialsSealer {
    const { sealer } = this.#options;
    if (sealer) return sealer;
    throw new ApiError('credentials_key_missing', 'this instance has no key to seal credentials with', {
      hint: 'the operator of this service sets CREDENTIALS_KEY',
    });
  }

  /** The replication as it names the uploaded credentials. */
  async #named(config: ReplicationConfig): Promise<ReplicationConfig> {
    const { reader, writer } = this.#options;
    const uri = `sealed:${config.id}`;
    // Somebody else may have changed it meanwhile, on another instance, or deleted it: nobody brings it back.
    const current = reader.find(config.datamartId, config.id);
    if (current.credentialsUri === uri) return current;
    const written = await writer.write(config.id, { ...current.record, credentials_uri: uri });
    if (written instanceof ApiError) throw written;
    return written;
  }
}

/** Without byte order mark and surrounding white space. */
function textOf(file: Buffer): string {
  if (file.byteLength > MAX_CREDENTIALS_BYTES)
    throw new ApiError('credentials_too_large', `the file is longer than ${MAX_CREDENTIALS_BYTES} bytes`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(file).trim();
  } catch {
    // The decoder's error says nothing more.
    throw new ApiError('invalid_characters', 'the file is no UTF-8 text', { field: 'credentials' });
  }
  if (text === '') throw new ApiError('missing_file', 'the file is empty', { field: 'file' });
  return text;
}

/** Above all that was ever judged: a failure of earlier credentials must not count against these. */
function nextVersion(id: string, { credentials, status }: ControlState): number {
  return Math.max(credentials.versionOf(id) ?? 0, status.verdict(id)?.credentialsVersion ?? 0) + 1;
}
