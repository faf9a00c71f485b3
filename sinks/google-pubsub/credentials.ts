import { createPrivateKey } from 'node:crypto';
import { isJsonObject } from '../../schemas/json-object.ts';
import type { FieldProblem } from '../sink.ts';

/** All that is kept of an uploaded key file: a file that says more (token URIs, executables) can't steer the client. */
export interface ServiceAccount {
  readonly projectId: string;
  readonly clientEmail: string;
  readonly privateKey: string;
}

type ParsedCredentials = { readonly account: ServiceAccount } | { readonly problem: FieldProblem };

const UNIVERSE = 'googleapis.com';

/**
 * Parses a Google service account key file. Anything but `type: service_account` is refused: the other types can
 * make the client read files, call foreign URLs or run programs. No problem ever repeats what the file says.
 */
export function parseServiceAccount(text: string): ParsedCredentials {
  const trimmed = text.replace(/^\uFEFF/, '').trim();
  if (/^Endpoint\s*=/i.test(trimmed)) {
    return refused(
      'credential_kind_mismatch',
      'this is an Azure connection string; a Google key file is needed',
    );
  }
  const file = parseObject(trimmed);
  if (file === null) return refused('invalid_json', 'the key file is not a JSON object');
  if (file['type'] !== 'service_account') {
    return refused('credential_type_not_allowed', 'only key files of type service_account are taken');
  }
  const universe = file['universe_domain'] ?? UNIVERSE;
  if (universe !== UNIVERSE) return refused('untrusted_universe', `universe_domain must be ${UNIVERSE}`);
  const projectId = textOf(file['project_id']);
  const clientEmail = textOf(file['client_email']);
  const privateKey = textOf(file['private_key']);
  if (projectId === null) return refused('missing_field', 'the key file lacks project_id');
  if (clientEmail === null) return refused('missing_field', 'the key file lacks client_email');
  if (privateKey === null) return refused('invalid_private_key', 'the key file lacks private_key');
  if (!isRsaPrivateKey(privateKey)) {
    return refused('invalid_private_key', 'private_key is not an unencrypted RSA key in PEM');
  }
  return { account: { projectId, clientEmail, privateKey } };
}

/** Null when `text` is a good key file. */
export function checkServiceAccount(text: string): FieldProblem | null {
  const parsed = parseServiceAccount(text);
  return 'problem' in parsed ? parsed.problem : null;
}

function parseObject(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : null;
  } catch {
    // The parser's message quotes the text, which may be a key.
    return null;
  }
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value.trim() !== '' ? value : null;
}

function isRsaPrivateKey(pem: string): boolean {
  try {
    return createPrivateKey({ key: pem, format: 'pem' }).asymmetricKeyType === 'rsa';
  } catch {
    return false;
  }
}

function refused(code: string, message: string): ParsedCredentials {
  return { problem: { code, field: 'credentials', message } };
}
