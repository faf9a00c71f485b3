import type { FieldProblem } from '../sink.ts';
import type { KafkaTopicConfig } from './config.ts';
import { SASL_MECHANISMS, type KafkaCredentials, type SaslCredentials } from './record-producer.ts';

const FIELD = 'credentials';
const EXPECTED =
  'expected {"ssl":true,"sasl":{"mechanism":"scram-sha-512","username":"…","password":"…"}}, each part optional';

/**
 * Parses a replication's credentials for a foreign cluster. Messages never repeat a value.
 * Without `brokers` the program's own are used and a replication can't bring any.
 */
export function parseKafkaCredentials(
  text: string,
  config: KafkaTopicConfig,
): { readonly credentials: KafkaCredentials } | { readonly problem: FieldProblem } {
  if (config.brokers === null) {
    return refused(
      'field_not_applicable',
      'credentials need brokers: the own cluster is reached with its own',
    );
  }
  const trimmed = text.trim();
  if (!trimmed.startsWith('{')) return refused('credential_kind_mismatch', EXPECTED);
  const fields = objectOf(trimmed);
  if (fields === null) return refused('invalid_credentials', `not a JSON object; ${EXPECTED}`);
  if ('type' in fields) return refused('credential_kind_mismatch', EXPECTED);
  const unknown = Object.keys(fields).filter((name) => name !== 'ssl' && name !== 'sasl');
  if (unknown.length > 0) return refused('invalid_credentials', `only ssl and sasl are known; ${EXPECTED}`);

  const ssl = fields['ssl'] ?? false;
  if (typeof ssl !== 'boolean') return refused('invalid_credentials', 'ssl must be true or false');
  const sasl = fields['sasl'] ?? null;
  if (sasl === null) return { credentials: { ssl, sasl: null } };
  const parsed = saslOf(sasl);
  if (parsed === null) {
    const mechanisms = SASL_MECHANISMS.join(', ');
    return refused('invalid_credentials', `sasl needs username, password and a mechanism of ${mechanisms}`);
  }
  return { credentials: { ssl, sasl: parsed } };
}

function saslOf(sasl: unknown): SaslCredentials | null {
  if (typeof sasl !== 'object' || sasl === null) return null;
  const { mechanism, username, password } = sasl as Readonly<Record<string, unknown>>;
  const known = SASL_MECHANISMS.find(
    (name) => typeof mechanism === 'string' && name === mechanism.toLowerCase(),
  );
  if (known === undefined) return null;
  if (typeof username !== 'string' || username === '') return null;
  if (typeof password !== 'string' || password === '') return null;
  return { mechanism: known, username, password };
}

function objectOf(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return null;
    return parsed as Readonly<Record<string, unknown>>;
  } catch {
    // The parser's message would show a piece of the secret.
    return null;
  }
}

function refused(code: string, message: string): { readonly problem: FieldProblem } {
  return { problem: { code, field: FIELD, message } };
}
