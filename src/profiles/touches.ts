/**
 * From where a person came to each channel: the first and the last event there that says what brought the visit (a campaign, a scene of
 * WeChat, somebody else's page), which events/enrich.ts sorts into a channel group. Kept, because finding them again would be to read the
 * whole history.
 */
import type { Knex } from 'knex';
import type { Activity } from '../events/activity.ts';
import { isRecord } from '../events/storable.ts';
import { readSources, type Touch, writeTouches } from './touch-store.ts';

const longest = 200;

/** Reads the events of these sums; again changes nothing. */
export async function keepTouches(trx: Knex.Transaction, sums: Activity[]): Promise<void> {
  const counted = sums.filter(({ counts }) => counts);
  if (!counted.length) return;
  const touches = (await readSources(trx, counted)).map(({ subject_id, channel, first_at, first, last_at, last }) => ({
    subject_id,
    channel,
    first_at,
    first: touchOf(first),
    last_at,
    last: touchOf(last),
  }));
  await writeTouches(trx, touches);
}

/** What a context says of it. Strangers write it: text of bounded length under our own names, and nothing else. */
function touchOf(context: Record<string, unknown>): Touch {
  const campaign = isRecord(context.campaign) ? context.campaign : {};
  const page = isRecord(context.page) ? context.page : {};
  const found = {
    source: campaign.source,
    medium: campaign.medium,
    campaign: campaign.name,
    term: campaign.term,
    content: campaign.content,
    scene: context.scene,
    referrer: hostOf(page.referrer),
    channel_group: context.channel_group,
  };
  const texts = Object.entries(found).flatMap(([name, value]) => {
    const text = typeof value === 'number' ? String(value) : value;
    return typeof text === 'string' && text ? [[name, text.slice(0, longest).toWellFormed()]] : [];
  });
  return Object.fromEntries(texts);
}

function hostOf(address: unknown): string | undefined {
  return typeof address === 'string' && URL.canParse(address) ? new URL(address).host : undefined;
}
