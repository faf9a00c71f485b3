/** A file that is open for appending. */
export interface AppendFile {
  /** Whether the path still leads to this file: it may have been moved or deleted meanwhile. */
  isStillThere(): Promise<boolean>;
  /** Whether its last line lacks the LF: somebody died, or ran out of disk, in the middle of it. */
  endsWithinLine(): Promise<boolean>;
  /** Appends with one write; resolves with how many bytes were taken. */
  append(bytes: Buffer): Promise<number>;
  /** Resolves once what was appended survives a loss of power. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Where `FILE` replications put their files. Paths are as in the config: relative and without `..`. */
export interface FileStore {
  /** Opens a file for appending; makes it and its folders if need be. */
  open(path: string): Promise<AppendFile>;
  /** Rejects when nothing could be written there. Makes the folders, but not the file. */
  assertWritable(path: string): Promise<void>;
}
