/** The program as a child of the bench that reads mutations. */
import { runJob } from './job-runner.ts';
import { openProcessor } from './processor-delivery.ts';

await runJob(openProcessor);
