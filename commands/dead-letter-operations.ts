import { ApiError } from '../api/api-error.ts';
import type { DeadLetterOperations } from '../api/dead-letter-operations.ts';

export function deadLetterOperations(..._: unknown[]): DeadLetterOperations {
  const no = async (): Promise<never> => {
    throw new ApiError('not_ready', 'wip');
  };
  return { list: no, redrive: no };
}
