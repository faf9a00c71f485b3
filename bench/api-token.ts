import { createHash } from 'node:crypto';

const TOKEN = 'bench-0123456789abcdef';

/** What the benches say in the header `authorization`. */
export const API_TOKEN = `api:${TOKEN}`;

/** The text of a tokens file that lets them do everything. */
export function tokensText(): string {
  const sha256 = createHash('sha256').update(TOKEN).digest('hex');
  return JSON.stringify([{ name: 'bench', sha256, datamarts: '*', role: 'operator' }]);
}
