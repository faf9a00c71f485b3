import type { OperationVersion } from '../schemas/operation-encoder.ts';
import type { ConfigProblem } from './config-problem.ts';

/** What the rules need to know of a kind of destination. Sink adapters have this shape. */
export interface DestinationType {
  readonly type: string;
  readonly versions: readonly [OperationVersion, ...OperationVersion[]];
  readonly fields: readonly string[];
  readonly options: {
    readonly messageId: boolean;
    readonly ordering: boolean | null;
    readonly orderingLanes: boolean;
  };
  readonly credentials: 'required' | 'optional' | 'none';
  /** What no two replications of this kind may share, as the field gives it. */
  readonly exclusive?: { readonly field: string; value(config: unknown): string };
  parseConfig(
    record: Readonly<Record<string, unknown>>,
  ): { readonly config: unknown } | { readonly problem: ConfigProblem };
  checkCredentials(text: string, config: unknown): ConfigProblem | null;
}

/** Pure syntax check of a `credentials_uri`; null when it is good. */
export type CredentialsUriCheck = (uri: string, replicationId: string) => ConfigProblem | null;

/** What the rules depend on besides the record: the kinds of destinations that the settings turn on. */
export interface ConfigRules {
  readonly types: ReadonlyMap<string, DestinationType>;
  readonly checkCredentialsUri: CredentialsUriCheck;
}
