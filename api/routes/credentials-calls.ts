import type { ApiCall } from '../api-call.ts';
import type { ReplicationOperations } from '../replication-operations.ts';

/** Upload a replication's credentials. */
export function credentialsCalls(operations: ReplicationOperations): readonly ApiCall[] {
  return [
    {
      name: 'uploadCredentials',
      method: 'POST',
      path: '/replications/:replicationId/credentials',
      summary: 'Upload credentials: a service account’s key file, or a connection string',
      parameters: [],
      body: { kind: 'file' },
      takesIfMatch: false,
      answer: { status: 200, schema: 'Replication', isList: false },
      errors: [
        'missing_file',
        'too_many_files',
        'missing_field',
        'field_not_applicable',
        'invalid_characters',
        'invalid_credentials',
        'credential_kind_mismatch',
        'credential_type_not_allowed',
        'invalid_private_key',
        'untrusted_universe',
        'incomplete_connection_string',
        'untrusted_endpoint',
        'emulator_not_allowed',
        'entity_path_mismatch',
        'invalid_field',
        'credentials_missing',
        'credentials_too_large',
        'activation_failed',
        'credentials_key_missing',
        'not_ready',
        'write_not_confirmed',
      ],
      change: 'uploaded credentials',
      handle: async ({ datamartId, id, file, caller }) => ({
        data: await operations.uploadCredentials(datamartId, id, await file(), caller),
      }),
    },
  ];
}
