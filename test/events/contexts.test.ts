/** What repeats of a context is stored once, and read as it was sent. */

import type { Knex } from 'knex';
import { describe, expect, it } from 'vitest';
import { shareContexts } from '../../src/events/contexts.ts';
import { preparePartitions } from '../../src/events/jobs.ts';
import { testDatabase } from '../helpers/database.ts';
import {
  addSubject,
  anotherPool,
  basic,
  clientKey,
  eventRows,
  eventsApp,
  movableClock,
  seedKeys,
  serverKey,
} from './harness.ts';

const { db, url } = await testDatabase();
await seedKeys(db);
const clock = movableClock('2027-03-10T12:00:00Z');
await preparePartitions(db, clock);
const apps = [await eventsApp(db, { clock }), await eventsApp(anotherPool(url), { clock })];

const browser = { userAgent: `Mozilla/5.0 ${'x'.repeat(80)}`, locale: 'zh-CN', campaign: { source: 'wechat' } };
const page = {
  path: '/products/1',
  title: '外壳',
  url: 'https://www.example.com/products/1',
  referrer: '',
  search: '',
};

async function send(context: Record<string, unknown>, app = apps[0]) {
  const messageId = crypto.randomUUID();
  const answer = await app?.send(
    '/v1/track',
    { event: 'a', anonymousId: 'anon', messageId, context },
    basic(clientKey),
  );
  expect(answer?.status).toBe(200);
  const [seen] = await eventRows(db, { message_id: messageId });
  const [row] = await db('events').where({ message_key: messageId });
  return { seen: seen.context, row };
}

/** What we add to each of them. */
const added = { bot: true, channel_group: 'campaign' };

describe('the context of an event', () => {
  it('is stored with the first, and once for all that come after it, by any process', async () => {
    const context = { ...browser, page, sessionId: 7 };
    const sent = [];
    for (const app of [apps[0], apps[0], apps[0], apps[1], apps[1]]) sent.push(await send(context, app));
    for (const { seen } of sent) expect(seen).toEqual({ ...context, ...added });
    expect(sent.map(({ row }) => row.context_id !== null)).toEqual([false, true, true, false, true]);
    expect(new Set(sent.map(({ row }) => row.context_id)).size).toBe(2);
    expect(sent[1]?.row.context).toEqual({ sessionId: 7 });
    expect(await db('event_contexts').count()).toEqual([{ count: 2 }]);
  });

  it('F17: is forgotten by a process for those that are large together', () => {
    const { divide } = shareContexts({} as Knex, new Date());
    const isShared = (letter: string) => divide({ userAgent: letter.repeat(5_000_000) }).context_id !== null;
    expect(['a', 'b', 'c'].map(isShared)).toEqual([false, false, false]);
    expect(['c', 'a'].map(isShared)).toEqual([true, false]);
  });

  it('F17: is never that of another text, though both have one id', async () => {
    const context = { ...browser, locale: 'fr-FR' };
    const process = async () => (await eventsApp(anotherPool(url), { clock })) as (typeof apps)[0];
    const [first, second] = [await process(), await process()];
    for (const _ of [1, 2]) await send(context, first);
    const forged = { campaign: { source: 'forged' } };
    const changed = await db('event_contexts').whereRaw("context ->> 'locale' = 'fr-FR'").update({ context: forged });
    expect(changed).toBe(1);
    for (const _ of [1, 2, 3]) expect((await send(context, second)).seen).toEqual({ ...context, ...added });
    await db('event_contexts')
      .where({ context: JSON.stringify(forged) })
      .delete();
  });

  it('keeps what may say who somebody is with the event: other fields, and pages with a query', async () => {
    const context = { ...browser, page: { ...page, search: '?invite=wang' }, openid: 'o-7', device: { id: 'd1' } };
    const { seen, row } = await send(context);
    expect(seen).toEqual({ ...context, ...added });
    expect(row.context).toEqual({ page: context.page, openid: 'o-7', device: { id: 'd1' } });
  });

  it('is whole for whoever asks about one person, or about everybody', async () => {
    const userId = await addSubject(db);
    for (const _ of [1, 2, 3])
      await apps[0]?.send('/v1/track', { event: 'asked', userId, context: { ...browser, page } }, basic(serverKey));
    expect(await db('events').where({ event: 'asked' }).whereNotNull('context_id').first()).toBeDefined();
    for (const view of ['subject_events', 'attributed_events', 'everybodys_events']) {
      const rows = await db(view).where({ event: 'asked' });
      expect(rows.map(({ context }) => context.campaign.source)).toEqual(Array(3).fill('wechat'));
    }
  });

  it('is said to be used in the next month by the first event that does', async () => {
    const uses = () => db('event_contexts').select(db.raw(`distinct to_char(used_on, 'YYYY-MM-DD') as day`));
    expect(await uses()).toEqual([{ day: '2027-03-01' }]);
    clock.set('2027-04-10T12:00:00Z');
    for (const _ of [1, 2]) await send({ ...browser, page });
    expect(await uses()).toEqual([{ day: '2027-04-01' }]);
  });
});
