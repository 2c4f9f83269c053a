/** Jobs that nobody works off: what would have been sent, in order. */
import type { JobHandler, Jobs } from '../../src/jobs.ts';

export type Sent = { name: string; data: Record<string, unknown> };

export function collectJobs() {
  const sent: Sent[] = [];
  const handlers = new Map<string, JobHandler>();
  const jobs: Pick<Jobs, 'send' | 'handle'> = {
    async send(name, data) {
      sent.push({ name, data: { ...data } });
    },
    handle: (name, handler) => void handlers.set(name, handler),
  };
  return { jobs, sent, handlers };
}

export const noJobs = collectJobs().jobs;
