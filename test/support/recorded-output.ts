/** Keeps what a command writes. */
export class RecordedOutput {
  readonly isTTY = false;
  readonly writableLength = 0;
  text = '';

  write(text: string): boolean {
    this.text += text;
    return true;
  }

  once(): void {
    // Never full.
  }

  on(): void {
    // Never fails.
  }
}
