/** Bytes as MB of 2^20, with so many digits behind the point. */
export function megabytes(bytes: number, digits = 0): string {
  return (bytes / 1_048_576).toFixed(digits);
}
