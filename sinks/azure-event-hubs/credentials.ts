import type { FieldProblem } from '../sink.ts';

/** What a connection string holds once it is trusted; the only thing that reaches the SDK is rebuilt from it. */
export interface EventHubsCredentials {
  /** Lower case, without port. */
  readonly host: string;
  /** Null is the SDK's own: 5671 with TLS, 5672 for the emulator. */
  readonly port: number | null;
  readonly keyName: string;
  readonly key: string;
  /** The official emulator's mode: plain TCP. */
  readonly isEmulator: boolean;
}

export type ParsedCredentials =
  { readonly credentials: EventHubsCredentials } | { readonly problem: FieldProblem };

const FIELD = 'credentials';
const KNOWN_PARTS: ReadonlySet<string> = new Set([
  'Endpoint',
  'SharedAccessKeyName',
  'SharedAccessKey',
  'EntityPath',
  'UseDevelopmentEmulator',
]);
const TRUSTED_HOST = /^[a-z0-9-]{6,50}\.servicebus\.(?:windows\.net|usgovcloudapi\.net|chinacloudapi\.cn)$/;
const ENDPOINT = /^sb:\/\/([^/:@?#]+)(?::(\d{1,5}))?\/?$/i;

/**
 * Parses a tenant's connection string: the parts as the portal gives them, nothing else.
 *
 * The string decides which host this program connects to and whether with TLS, so hosts are allow-listed; other
 * hosts, ports and the emulator's mode need `allowEmulators`. Messages never repeat a value.
 */
export function parseConnectionString(
  text: string,
  eventHubName: string,
  allowEmulators: boolean,
): ParsedCredentials {
  // trim() also cuts a byte order mark.
  const trimmed = text.trim();
  if (trimmed.startsWith('{') || trimmed.startsWith('-----BEGIN')) {
    return refused(
      'credential_kind_mismatch',
      'this is no Event Hubs connection string but a JSON or key file',
    );
  }
  if (!/^[\x20-\x7e]*$/.test(trimmed)) {
    return refused('invalid_characters', 'the connection string must be one line of printable ASCII');
  }
  const parts = partsOf(trimmed);
  if (typeof parts === 'string') return refused('incomplete_connection_string', parts);

  const { Endpoint: endpoint, SharedAccessKeyName: keyName, SharedAccessKey: key } = parts;
  if (!endpoint) return refused('incomplete_connection_string', 'Endpoint is missing');
  if (!keyName) return refused('incomplete_connection_string', 'SharedAccessKeyName is missing');
  if (!key) return refused('incomplete_connection_string', 'SharedAccessKey is missing');

  const isEmulator = parts.UseDevelopmentEmulator?.toLowerCase() === 'true';
  if (isEmulator && !allowEmulators) {
    return refused('emulator_not_allowed', 'UseDevelopmentEmulator needs SINKS_ALLOW_EMULATORS=true');
  }
  const address = trustedAddress(endpoint, allowEmulators);
  if (address === null) {
    return refused(
      'untrusted_endpoint',
      'Endpoint must be sb://<namespace>.servicebus.windows.net/ (or of a national cloud), without port',
    );
  }
  if (parts.EntityPath !== undefined && parts.EntityPath !== eventHubName) {
    return refused('entity_path_mismatch', 'EntityPath differs from event_hub_name');
  }
  return { credentials: { ...address, keyName, key, isEmulator } };
}

/** The connection string of exactly these credentials, as the SDK reads it. */
export function connectionStringOf(credentials: EventHubsCredentials): string {
  const { host, port, keyName, key, isEmulator } = credentials;
  const authority = port === null ? host : `${host}:${port}`;
  const emulator = isEmulator ? ';UseDevelopmentEmulator=true' : '';
  return `Endpoint=sb://${authority}/;SharedAccessKeyName=${keyName};SharedAccessKey=${key}${emulator}`;
}

interface Parts {
  readonly Endpoint?: string;
  readonly SharedAccessKeyName?: string;
  readonly SharedAccessKey?: string;
  readonly EntityPath?: string;
  readonly UseDevelopmentEmulator?: string;
}

/** The parts by name, or what is wrong with them in words. */
function partsOf(text: string): Parts | string {
  const parts: Record<string, string> = {};
  for (const part of text.split(';')) {
    if (part.trim() === '') continue;
    // Keys are base64 and end in '=', so only the first one divides.
    const equals = part.indexOf('=');
    const name = part.slice(0, Math.max(equals, 0)).trim();
    if (name === 'SharedAccessSignature') {
      return 'SharedAccessSignature expires: give SharedAccessKeyName and SharedAccessKey';
    }
    if (!KNOWN_PARTS.has(name)) return `only ${[...KNOWN_PARTS].join(', ')} are known, each as name=value`;
    if (name in parts) return `${name} is there twice`;
    parts[name] = part.slice(equals + 1).trim();
  }
  return parts;
}

function trustedAddress(
  endpoint: string,
  allowEmulators: boolean,
): { readonly host: string; readonly port: number | null } | null {
  const match = ENDPOINT.exec(endpoint);
  const host = match?.[1]?.toLowerCase();
  if (match === null || host === undefined) return null;
  const port = match[2] === undefined ? null : Number(match[2]);
  if (!allowEmulators && (port !== null || !TRUSTED_HOST.test(host))) return null;
  if (port !== null && (port < 1 || port > 65_535)) return null;
  return { host, port };
}

function refused(code: string, message: string): ParsedCredentials {
  return { problem: { code, field: FIELD, message } };
}
