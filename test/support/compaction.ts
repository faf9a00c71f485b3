import { ConfigResourceTypes } from 'kafkajs';
import { kafkaClient } from './kafka.ts';

/** So that the log's cleaner takes it up at once, and forgets deletions too. kafkajs sets all settings of a topic or none. */
const EAGERLY_COMPACTED = {
  'cleanup.policy': 'compact',
  'min.cleanable.dirty.ratio': '0.001',
  'segment.ms': '100',
  'max.compaction.lag.ms': '100',
  'delete.retention.ms': '0',
};

/** From now on the topic is compacted within seconds, but for its active segment: one more record closes that. */
export async function compactEagerly(topic: string): Promise<void> {
  const admin = kafkaClient().admin();
  await admin.connect();
  try {
    const configEntries = Object.entries(EAGERLY_COMPACTED).map(([name, value]) => ({ name, value }));
    await admin.alterConfigs({
      validateOnly: false,
      resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }],
    });
  } finally {
    await admin.disconnect();
  }
}
