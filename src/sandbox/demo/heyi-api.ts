/** Heyi's event endpoint and management API, as the shop's back end uses them. */
import { request } from 'undici';
import { z } from 'zod';
import { fail } from '../../errors.ts';
import type { Provider } from './provider.ts';
import type { Settings } from './settings.ts';

export type TimelineEvent = z.infer<typeof eventSchema>;
export type ServerEvent = { type: 'track' | 'identify'; messageId: string; userId: string } & Record<string, unknown>;

export type HeyiApi = {
  /** Newest first. */
  timeline(sub: string, limit: number): Promise<TimelineEvent[]>;
  /** Sends with the server key. Retries what may be retried: the message id makes a repeat harmless. */
  send(event: ServerEvent): Promise<void>;
};

const eventSchema = z.object({
  message_id: z.string(),
  type: z.string(),
  event: z.string(),
  channel: z.string(),
  timestamp: z.string(),
  properties: z.record(z.string(), z.unknown()).default({}),
  trust: z.string(),
});
const timelineSchema = z.object({ data: z.array(eventSchema) });

export function createHeyiApi({ issuer, serverKey }: Settings, provider: Provider): HeyiApi {
  const get = async (path: string): Promise<unknown> => {
    for (const isLast of [false, true]) {
      const headers = { authorization: `Bearer ${await provider.machineToken()}` };
      const answer = await request(`${issuer}${path}`, { headers, headersTimeout: 10_000 });
      if (answer.statusCode === 200) return answer.body.json();
      await answer.body.dump();
      // A token of before Heyi's restart with other keys: ask for a new one, once.
      if (answer.statusCode !== 401 || isLast) throw fail('upstream_unavailable');
      provider.forgetMachineToken();
    }
  };
  const post = async (event: ServerEvent): Promise<number> => {
    const answer = await request(`${issuer}/v1/batch`, {
      method: 'POST',
      headers: {
        authorization: `Basic ${Buffer.from(`${serverKey}:`).toString('base64')}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ batch: [event], sentAt: event.timestamp }),
      headersTimeout: 10_000,
    });
    await answer.body.dump();
    return answer.statusCode;
  };
  return {
    async timeline(sub, limit) {
      const path = `/api/v1/subjects/${encodeURIComponent(sub)}/events?limit=${limit}`;
      return timelineSchema.parse(await get(path)).data;
    },
    async send(event) {
      for (const waitMs of [0, 300, 1500]) {
        await new Promise((resolve) => setTimeout(resolve, waitMs));
        const status = await post(event).catch(() => 503);
        if (status === 200) return;
        if (status < 500 && status !== 429 && status !== 408) break;
      }
      throw fail('upstream_unavailable');
    },
  };
}
