/** What an operator or a customer can do at Google, with the command to run. Holds nothing of the credentials. */

const KEY_OWNER = '<client_email of the key file>';

/** `topicName` in full, as in all of these. */
export function grantPublisher(topicName: string): string {
  return (
    'grant roles/pubsub.publisher on the topic to the service account: ' +
    `gcloud pubsub topics add-iam-policy-binding ${gcloudTopic(topicName)} ` +
    `--member="serviceAccount:${KEY_OWNER}" --role=roles/pubsub.publisher`
  );
}

export function grantViewer(topicName: string): string {
  return (
    'grant roles/pubsub.viewer on the topic and its schema to the service account to have it checked: ' +
    `gcloud pubsub topics add-iam-policy-binding ${gcloudTopic(topicName)} ` +
    `--member="serviceAccount:${KEY_OWNER}" --role=roles/pubsub.viewer`
  );
}

export function createTopic(topicName: string): string {
  return (
    `create the topic: gcloud pubsub topics create ${gcloudTopic(topicName)}; ` +
    'or create a replication that names the right one, as this one names it for good'
  );
}

export function fitSchema(topicName: string): string {
  const { project } = partsOf(topicName);
  return (
    'create a topic that has the published schema (operation-record.avsc) with binary encoding, and a replication to ' +
    `it: gcloud pubsub schemas create operation-record --project=${project} --type=avro ` +
    '--definition-file=operation-record.avsc; gcloud pubsub topics create TOPIC ' +
    `--project=${project} --schema=operation-record --message-encoding=binary`
  );
}

export const ENABLE_API =
  "enable the Pub/Sub API in the service account's project: gcloud services enable pubsub.googleapis.com";

export const NEW_KEY =
  'upload a key of a service account that is neither deleted nor disabled: ' +
  `gcloud iam service-accounts keys create key.json --iam-account="${KEY_OWNER}"`;

export const SET_CLOCK =
  "synchronize the clock of this program's machine (NTP): Google takes tokens only within minutes of its own time";

export const OPEN_NETWORK =
  "check this machine's name service and proxy, and that *.googleapis.com can be reached on port 443";

export const RAISE_QUOTA = "raise the publisher quota of the service account's project";

export const MEND_SETTINGS =
  "check the project's billing, the topic's encryption key (its use must be granted to Pub/Sub) and the regions that its message storage policy allows";

function gcloudTopic(topicName: string): string {
  const { project, topic } = partsOf(topicName);
  return `${topic} --project=${project}`;
}

function partsOf(topicName: string): { readonly project: string; readonly topic: string } {
  const [, project = '', , topic = ''] = topicName.split('/');
  return { project, topic };
}
