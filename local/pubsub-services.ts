/**
 * The parts of Pub/Sub's gRPC services that the fake speaks, read and written with the official client's own protos.
 */
import { protos } from '@google-cloud/pubsub';
import type { MethodDefinition } from '@grpc/grpc-js';

const v1 = protos.google.pubsub.v1;

interface Codec<T> {
  decode(bytes: Uint8Array): T;
  encode(message: T): { finish(): Uint8Array };
}

function unary<Request, Response>(
  path: string,
  request: Codec<Request>,
  response: Codec<Response>,
): MethodDefinition<Request, Response> {
  return {
    path,
    requestStream: false,
    responseStream: false,
    requestSerialize: (message) => Buffer.from(request.encode(message).finish()),
    requestDeserialize: (bytes) => request.decode(bytes),
    responseSerialize: (message) => Buffer.from(response.encode(message).finish()),
    responseDeserialize: (bytes) => response.decode(bytes),
  };
}

/** google.pubsub.v1.Publisher, as far as this program calls it. */
export const PUBLISHER_SERVICE = {
  Publish: unary('/google.pubsub.v1.Publisher/Publish', v1.PublishRequest, v1.PublishResponse),
  GetTopic: unary('/google.pubsub.v1.Publisher/GetTopic', v1.GetTopicRequest, v1.Topic),
  CreateTopic: unary('/google.pubsub.v1.Publisher/CreateTopic', v1.Topic, v1.Topic),
  ListTopics: unary('/google.pubsub.v1.Publisher/ListTopics', v1.ListTopicsRequest, v1.ListTopicsResponse),
};

/** google.pubsub.v1.SchemaService, as far as this program calls it. */
export const SCHEMA_SERVICE = {
  GetSchema: unary('/google.pubsub.v1.SchemaService/GetSchema', v1.GetSchemaRequest, v1.Schema),
  ListSchemaRevisions: unary(
    '/google.pubsub.v1.SchemaService/ListSchemaRevisions',
    v1.ListSchemaRevisionsRequest,
    v1.ListSchemaRevisionsResponse,
  ),
};

/**
 * google.iam.v1.IAMPolicy isn't among the client's public protos. On the wire its messages look like two that are:
 * `{ string resource = 1; repeated string permissions = 2; }` like an AcknowledgeRequest,
 * `{ repeated string permissions = 1; }` like a PublishResponse.
 */
export const IAM_SERVICE = {
  TestIamPermissions: unary(
    '/google.iam.v1.IAMPolicy/TestIamPermissions',
    v1.AcknowledgeRequest,
    v1.PublishResponse,
  ),
};
