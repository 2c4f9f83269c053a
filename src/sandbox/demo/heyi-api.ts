/** Heyi's event endpoint and management API, as the shop's back end uses them. */
import { request } from 'undici';
import { z } from 'zod';
import { fail } from '../../errors.ts';
import type { Manage } from './management.ts';
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

export function createHeyiApi({ issuer, serverKey }: Settings, manage: Manage): HeyiApi {
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
      const path = `/subjects/${encodeURIComponent(sub)}/events?limit=${limit}`;
      return timelineSchema.parse(await manage('GET', path)).data;
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
