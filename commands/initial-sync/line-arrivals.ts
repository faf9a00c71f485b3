import { stat } from 'node:fs/promises';
import { OperationLineReader } from '../../schemas/operation-line-reader.ts';
import { OperationView } from '../../schemas/operation-reader.ts';
import type { ArrivalListener, Arrivals } from '../../streams/initial-sync/arrivals.ts';
import type { ScanProgress } from '../../streams/initial-sync/scan-progress.ts';
import { linesOf } from './json-lines.ts';

/** What a destination got, as lines of files: a `FILE` destination's own, or an export. One file after the other. */
export class LineArrivals implements Arrivals {
  readonly #paths: readonly string[];

  constructor(paths: readonly string[]) {
    this.#paths = paths;
  }

  async read(
    listener: ArrivalListener,
    onProgress: (progress: ScanProgress) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const reader = new OperationLineReader();
    const operation = new OperationView();
    const sizes = await Promise.all(this.#paths.map(async (path) => (await stat(path)).size));
    const total = sizes.reduce((sum, size) => sum + size, 0);
    let before = 0;
    for (const [i, path] of this.#paths.entries()) {
      for await (const { number, bytes, bytesRead } of linesOf(path)) {
        if (signal.aborted) return;
        if (reader.read(bytes, operation)) listener.onArrival(operation, reader.source);
        else listener.onForeign(`${path} line ${number}`, reader.detail);
        onProgress({ reading: path, read: before + bytesRead, total });
      }
      before += sizes[i] ?? 0;
    }
  }
}
