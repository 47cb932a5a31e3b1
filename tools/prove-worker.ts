/** What a worker of `npm run prove` does: one boot of one job. */
import { runJob } from './prove/prove.ts';
import type { Job, JobResult } from './prove/prove.ts';

export function run(job: Job): JobResult {
  return runJob(job);
}
