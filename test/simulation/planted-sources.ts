import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');

/** `find`, which is in `file` exactly once, becomes `replace`. */
export interface SourceEdit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/** A copy of the project's sources that has a bug; it is removed in the end. */
export class PlantedSources implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'planted-'));

  /** Copies these files and folders. Throws when the edits don't fit any more; nothing is left behind then. */
  constructor(bug: string, paths: readonly string[], edits: readonly SourceEdit[]) {
    try {
      for (const path of paths) cpSync(join(ROOT, path), join(this.directory, path), { recursive: true });
      symlinkSync(join(ROOT, 'node_modules'), join(this.directory, 'node_modules'));
      for (const edit of edits) this.#apply(bug, edit);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  #apply(bug: string, { file, find, replace }: SourceEdit): void {
    const path = join(this.directory, file);
    const parts = readFileSync(path, 'utf8').split(find);
    if (parts.length !== 2)
      throw new Error(
        `the planted bug "${bug}" must be updated: ${file} holds its place ${parts.length - 1} times, not once`,
      );
    writeFileSync(path, parts.join(replace));
  }
}
