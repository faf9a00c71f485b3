export { identityHash, identityOf } from '../processors/replication-identity.ts';
