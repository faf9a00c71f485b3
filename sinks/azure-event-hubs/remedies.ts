/** What an operator or a customer can do at Azure, with the command to run. Holds nothing of the credentials. */

const WHERE = '--resource-group <group> --namespace-name <namespace>';
const POLICY = 'replication-send';

export function grantSend(eventHubName: string): string {
  const policy = `${WHERE} --eventhub-name ${eventHubName} --name ${POLICY}`;
  return (
    "upload the connection string of a shared access policy that has the claim 'Send' on this event hub: " +
    `az eventhubs eventhub authorization-rule create ${policy} --rights Send; ` +
    `az eventhubs eventhub authorization-rule keys list ${policy} --query primaryConnectionString`
  );
}

export function giveKey(eventHubName: string): string {
  return (
    'the shared access key was refused, as it was renewed or its policy deleted: upload the present connection string: ' +
    `az eventhubs eventhub authorization-rule keys list ${WHERE} --eventhub-name ${eventHubName} --name <policy> ` +
    '--query primaryConnectionString'
  );
}

export function createHub(eventHubName: string): string {
  return (
    `create the event hub: az eventhubs eventhub create ${WHERE} --name ${eventHubName}; ` +
    'or upload the credentials of the namespace that has it'
  );
}

export function enableHub(eventHubName: string): string {
  return `set the event hub to Active: az eventhubs eventhub update ${WHERE} --name ${eventHubName} --status Active`;
}

export const OPEN_FIREWALL =
  'let this program through the firewall of the namespace: az eventhubs namespace network-rule-set ip-rule add ' +
  `${WHERE} --ip-rule ip-address=<address of this program> action=Allow`;

export const OPEN_NETWORK = "check the namespace's name, DNS, and that port 5671 is open towards it";

export const SET_CLOCK =
  "synchronize the clock of this program's machine (NTP): Azure takes tokens only within minutes of its own time";

export const ADD_THROUGHPUT =
  'the namespace has too few throughput units for what all its senders send: ' +
  'az eventhubs namespace update --resource-group <group> --name <namespace> --capacity <units>';

export const RAISE_QUOTA = "raise the namespace's quota, or close connections of other senders";

export const CHECK_HUB =
  "check that the name is that of an event hub, that the namespace's tier has what it needs, and its settings";
