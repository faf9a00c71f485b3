import { ApiError, notFound } from './api-error.ts';

/** The envelope of a refused call. */
export function errorEnvelope(error: ApiError, errorId: string): Readonly<Record<string, unknown>> {
  return {
    status: 'error',
    error: error.message,
    error_code: error.code,
    error_id: errorId,
    ...(error.field === null ? {} : { field: error.field }),
    ...(error.hint === null ? {} : { hint: error.hint }),
    details: error.details,
  };
}

/** What is answered for anything that was thrown. What nobody foresaw is a defect, and says nothing of itself. */
export function apiErrorOf(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const { code, statusCode } = frameworkError(error);
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new ApiError('payload_too_large', 'the body is longer than 65536 bytes', { cause: error });
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new ApiError('unsupported_media_type', 'the call doesn’t take a body of this Content-Type', {
        hint: 'JSON goes with Content-Type: application/json, credentials with multipart/form-data',
        cause: error,
      });
    case 'FST_ERR_BAD_URL':
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return notFound();
    default:
      if (statusCode >= 400 && statusCode < 500)
        return new ApiError('invalid_request', 'the request can’t be understood', { cause: error });
      return new ApiError('internal_error', 'an unexpected error; give error_id to the operator', {
        cause: error,
      });
  }
}

function frameworkError(error: unknown): { readonly code: string; readonly statusCode: number } {
  const fields: { readonly code?: unknown; readonly statusCode?: unknown } =
    typeof error === 'object' && error !== null ? error : {};
  return {
    code: typeof fields.code === 'string' ? fields.code : '',
    statusCode: typeof fields.statusCode === 'number' ? fields.statusCode : 500,
  };
}
