import { InvalidArgumentError } from 'commander';

/** Parses a whole number of a closed range. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Allowed is a whole number from ${min} to ${max}.`);
  };
}

/** Parses `500` or `500/s`. */
export function ratePerSecond(text: string): number {
  const value = /^\d{1,9}(?:\/s)?$/.test(text) ? Number.parseInt(text, 10) : Number.NaN;
  if (value >= 0) return value;
  throw new InvalidArgumentError(
    'Allowed is a number per second, for example 500/s; 0 is as fast as it goes.',
  );
}
