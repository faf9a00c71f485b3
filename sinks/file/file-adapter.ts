import type { OpenOptions, SinkAdapter } from '../sink.ts';
import { FILE_FIELDS, parseFileConfig, type FileConfig } from './config.ts';
import { DirectoryStore } from './directory-store.ts';
import type { FileStore } from './file-store.ts';
import { FileSink, LIMITS } from './sink.ts';

/** The adapter's slice of the settings. */
export interface FileSettings {
  /** The only directory that is written to; null: no `FILE` replication is possible. */
  readonly directory: string | null;
  /** Keeps the files; the default is the file system. */
  readonly openStore?: (directory: string) => FileStore;
}

/** A file of JSON lines on the instance's own disk, as version 1. */
export function fileAdapter(settings: FileSettings): SinkAdapter<FileConfig> {
  const { directory, openStore = (path) => new DirectoryStore(path) } = settings;
  const store = directory === null ? null : openStore(directory);
  const disabled = {
    code: 'invalid_path',
    field: 'path',
    message: 'FILE replications need SINKS_FILE_DIRECTORY, which the operator has not set',
  };
  return {
    type: 'FILE',
    versions: [1],
    fields: FILE_FIELDS,
    options: { messageId: false, ordering: null, orderingLanes: false },
    credentials: 'none',
    exclusive: { field: 'path', value: ({ path }) => path },
    parseConfig: (record) => (store === null ? { problem: disabled } : parseFileConfig(record)),
    checkCredentials: () => ({
      code: 'field_not_applicable',
      field: 'credentials',
      message: 'a FILE replication has no credentials',
    }),
    costs: () => ({ limits: LIMITS, billing: null }),
    open: async ({ config }: OpenOptions<FileConfig>) => {
      if (store === null) throw new Error(disabled.message);
      return new FileSink(store, config.path);
    },
  };
}
