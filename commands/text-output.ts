/** Where a command writes for people and scripts; `process.stdout` is one. */
export interface TextOutput {
  readonly isTTY?: boolean;
  /** False when the reader is slow: `drain` follows. */
  write(text: string): boolean;
  once(event: 'drain', listener: () => void): unknown;
}

/** Writes a value as one line of JSON. */
export function writeJson(out: TextOutput, value: unknown): void {
  out.write(`${JSON.stringify(value)}\n`);
}

/** Lays rows out in columns; numbers on the right. */
export function textTable(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => String(row[column] ?? '').length)),
  );
  const line = (cells: readonly (string | number)[]): string =>
    cells
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return typeof cell === 'number' ? String(cell).padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd();
  return [line(head), ...rows.map(line)].map((text) => `${text}\n`).join('');
}
