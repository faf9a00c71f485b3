import {
  ALL_DOCUMENT_TYPES,
  DOCUMENT_TYPES,
  USER_POINT_PARENT,
  type DocumentTypeMask,
} from '../schemas/document-type.ts';
import type { OperationVersion } from '../schemas/operation-encoder.ts';
import type { ReplicationConfig } from './replication-config.ts';

/**
 * Replications that want the same operations in the same encoding, so that each operation is encoded once for all of
 * them. `key` is equal for equal routes, also across two compilations of a datamart.
 */
export interface Route {
  readonly key: string;
  readonly version: OperationVersion;
  readonly documents: DocumentTypeMask;
  /** Batches hold one ordering lane each when this is above 0. */
  readonly orderingLanes: number;
  readonly replications: readonly ReplicationConfig[];
}

/** The join of one datamart, compiled: what happens to a mutation of each document type. */
export interface DatamartPlan {
  readonly routes: readonly Route[];
  /** By document type index. */
  readonly routesOf: readonly (readonly Route[])[];
  /** ACTIVE replications whose filter selects `UserPointParent` but whose Avro schema can't hold it. */
  readonly parentNotInSchema: readonly ReplicationConfig[];
}

/** The plan of a datamart without replications. */
export const EMPTY_PLAN: DatamartPlan = {
  routes: [],
  routesOf: DOCUMENT_TYPES.map(() => []),
  parentNotInSchema: [],
};

/** What the replication's filter selects. */
export function selectedDocuments({ filter }: ReplicationConfig): DocumentTypeMask {
  return filter ?? ALL_DOCUMENT_TYPES;
}

/** What is delivered of it: a schema of version 2 without `UserPointParent` can't hold that. */
export function deliveredDocuments(replication: ReplicationConfig): DocumentTypeMask {
  const selected = selectedDocuments(replication);
  const lacksParent = replication.version === 2 && !replication.userPointParent;
  return lacksParent ? selected & ~(1 << USER_POINT_PARENT) : selected;
}

/** Compiles the ACTIVE ones of a datamart's replications. Pure. */
export function compileDatamart(replications: readonly ReplicationConfig[]): DatamartPlan {
  const groups = new Map<string, { route: Omit<Route, 'replications'>; replications: ReplicationConfig[] }>();
  const parentNotInSchema: ReplicationConfig[] = [];
  for (const replication of replications) {
    if (replication.status !== 'ACTIVE') continue;
    const documents = deliveredDocuments(replication);
    if (documents !== selectedDocuments(replication)) parentNotInSchema.push(replication);
    const orderingLanes = replication.ordering ? replication.orderingLanes : 0;
    const key = `v${replication.version}/${documents}/${orderingLanes}`;
    const group = groups.get(key) ?? {
      route: { key, version: replication.version, documents, orderingLanes },
      replications: [],
    };
    group.replications.push(replication);
    groups.set(key, group);
  }
  const routes = [...groups.values()].map(({ route, replications: of }) => ({ ...route, replications: of }));
  return {
    routes,
    routesOf: DOCUMENT_TYPES.map((_, index) => routes.filter(({ documents }) => documents & (1 << index))),
    parentNotInSchema,
  };
}
