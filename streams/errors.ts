/** A global table couldn't be read to its end in time; the application must not start. */
export class RestoreFailedError extends Error {
  override readonly name = 'RestoreFailedError';
}

/** The application can't go on by itself; the process ends with exit code 1 and this reason. */
export class FatalStreamsError extends Error {
  override readonly name = 'FatalStreamsError';
}
