/** A moment in UTC to the second; `-` for none. */
export function timeText(time: number | null): string {
  if (time === null) return '-';
  return `${new Date(time).toISOString().slice(0, 19).replace('T', ' ')}Z`;
}
