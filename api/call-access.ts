import { ApiError, notFound } from './api-error.ts';
import type { RateLimiter } from './rate-limiter.ts';
import type { Principal, Tokens } from './tokens.ts';

const DATAMART_ID = /^[1-9][0-9]{0,18}$/;

/** Lets in who has a token, as often as it may. Rejects with `unauthorized` or `rate_limited`. */
export async function admit(
  authorization: string | undefined,
  tokens: Tokens,
  limiter: RateLimiter,
): Promise<Principal> {
  const principal = await tokens.principalOf(authorization);
  if (!principal) {
    const isMissing = authorization === undefined;
    throw new ApiError(
      'unauthorized',
      isMissing ? 'the header Authorization is missing' : 'the token is not known',
      {
        hint: 'expected is the header Authorization: api:TOKEN',
      },
    );
  }
  const waitSeconds = limiter.take(principal.name);
  if (waitSeconds === 0) return principal;
  throw new ApiError('rate_limited', 'too many requests of this token', {
    hint: 'wait as long as the header Retry-After says',
    retryAfterSeconds: waitSeconds,
  });
}

/** A datamart that the token isn't bound to looks like one that doesn't exist. */
export function assertDatamartOf({ datamarts }: Principal, datamartId: string): void {
  const isCovered = datamarts === '*' ? DATAMART_ID.test(datamartId) : datamarts.includes(datamartId);
  if (!isCovered) throw notFound();
}
