/** An event that the database refuses for a reason that nobody foresaw is refused, alone; what the database cannot do refuses none. */
import { beforeAll, describe, expect, it } from 'vitest';
import { createLogger } from '../../src/log.ts';
import { testDatabase } from '../helpers/database.ts';
import { keptLog } from '../helpers/kept-log.ts';
import { basic, clientKey, eventsApp, openKey, seedKeys, serverKey } from './harness.ts';

const { db } = await testDatabase();
await seedKeys(db);
const { lines, destination } = keptLog();
const app = await eventsApp(db, { logger: createLogger({ level: 'error', destination }) });

/** An event of this name meets what the name says; one whose sample holds `unkept` cannot even be kept as refused. */
beforeAll(async () => {
  await db.raw(`
    create function refuse() returns trigger language plpgsql as $$
    begin
      if new.event like 'raise %' then raise 'secret %', new.properties using errcode = right(new.event, 5); end if;
      return new;
    end $$;
    create trigger refuse before insert on events for each row execute function refuse();
    alter table events add constraint no_odd check (event <> 'odd');
    create function refuse_sample() returns trigger language plpgsql as
      $$ begin if new.sample like '%unkept%' then raise 'no'; end if; return new; end $$;
    create trigger refuse_sample before insert on event_rejections for each row execute function refuse_sample();`);
});

const track = (event: string, properties: Record<string, unknown> = {}) => ({
  type: 'track',
  event,
  messageId: crypto.randomUUID(),
  anonymousId: 'anon',
  properties,
});
const sendOne = (event: string, properties?: Record<string, unknown>) =>
  app.send('/v1/track', track(event, properties), basic(clientKey));
const sendBatch = (batch: unknown[], key = clientKey) => app.send('/v1/batch', { batch }, basic(key));
const stored = async (event: string) => Number((await db('events').where({ event }).count('* as n').first())?.n);
const kept = () => db('event_rejections').where({ code: 'unstorable' }).orderBy('id');

describe('an event that the database refuses', () => {
  it.each(['odd', 'raise P0001', 'raise 22003', 'raise 54000'])(
    'is answered like any refused one: %s',
    async (event) => {
      await db('event_rejections').del();
      const answer = await sendOne(event, { phone: '13800138000' });
      expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_fields' } } });
      expect(Object.keys(answer.body.error?.fields ?? {})).toEqual(['unstorable']);
      const [row] = await kept();
      expect(row.sample).toContain(event);
      expect(row.sample).not.toContain('13800138000');
    },
  );

  it('is logged at level error by its SQLSTATE, and without what was sent', async () => {
    lines.length = 0;
    await sendOne('odd', { secret: 'confidential' });
    await sendOne('raise 22003', { secret: 'confidential' });
    const said = lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg.startsWith('events:'));
    const month = new Date().toISOString().slice(0, 7).replace('-', '_');
    expect(said).toMatchObject([
      { level: 'error', refused: 1, sqlstates: [`23514 events_${month} no_odd`] },
      { level: 'error', refused: 1, sqlstates: ['22003'] },
    ]);
    expect(lines.join()).not.toContain('confidential');
  });

  it('takes nobody of its batch with it, today and when all come again; its place is named', async () => {
    const sent = Array.from({ length: 30 }, (_, n) => track(n % 16 === 5 ? 'odd' : 'neighbour'));
    const batch = [...sent, 'no object'];
    for (let time = 0; time < 2; time++) {
      const { status, body } = await sendBatch(batch);
      expect(status).toBe(200);
      expect(body.rejected?.map(({ index, code }) => [index, code])).toEqual([
        [5, 'unstorable'],
        [21, 'unstorable'],
        [30, 'not_an_object'],
      ]);
      expect(body.rejected?.[0]?.message_id).toBe(sent[5]?.messageId);
    }
    expect(await stored('neighbour')).toBe(28);
  });

  it('takes nobody with it who was stored in one group with it', async () => {
    const batches = Array.from({ length: 30 }, (_, n) => [track(n % 10 ? 'beside' : 'odd'), track('beside')]);
    const answers = await Promise.all(batches.map((batch, n) => sendBatch(batch, n % 2 ? openKey : serverKey)));
    expect(answers.map(({ status }) => status)).toEqual(batches.map(() => 200));
    expect(answers.map(({ body }) => body.rejected?.length)).toEqual(batches.map((_, n) => (n % 10 ? 0 : 1)));
    expect(await stored('beside')).toBe(57);
  });

  it('may be one of very many: each is refused', async () => {
    const { status, body } = await sendBatch(
      Array.from({ length: 100 }, (_, n) => track(n % 4 ? 'odd' : 'among many')),
    );
    expect([status, body.rejected?.length, await stored('among many')]).toEqual([200, 75, 25]);
  });

  it('F17: sent without end by one source, keeps no other from being answered', async () => {
    const batch = () => Array.from({ length: 100 }, () => track('odd'));
    const flood = Array.from({ length: 8 }, () => sendBatch(batch(), clientKey));
    expect((await Promise.race(flood)).status).toBe(429);
    const others = [sendBatch([track('odd'), track('not kept out')], openKey), sendBatch([track('odd')], openKey)];
    expect((await Promise.all(others)).map(({ status, body }) => [status, body.rejected?.length])).toEqual([
      [200, 1],
      [200, 1],
    ]);
    expect(await stored('not kept out')).toBe(1);
    await Promise.all(flood);
  });

  it('is told to the sender even when it cannot be kept among the refused', async () => {
    lines.length = 0;
    expect((await sendOne('odd', { name: 'unkept' })).status).toBe(400);
    expect((await sendBatch([track('odd', { name: 'unkept' }), track('kept')])).body.rejected).toHaveLength(1);
    expect(await stored('kept')).toBe(1);
    expect(lines.filter((line) => line.includes('could not be kept'))).toHaveLength(2);
  });

  it('is no fault for the trackers of others: they go on, and it is kept', async () => {
    await db('event_rejections').del();
    const record = { type: 'track', event: 'odd', distinct_id: 'anon', anonymous_id: 'anon', time: Date.now() };
    const data = encodeURIComponent(Buffer.from(JSON.stringify(record)).toString('base64'));
    expect((await app.send(`/sa?project=x&token=${openKey}`, `data=${data}`)).status).toBe(200);
    const custom = [{ eventType: 'CUSTOM', eventName: 'odd', deviceId: 'anon', timestamp: Date.now() }];
    expect((await app.send(`/v3/projects/${openKey}/collect?stm=0&compress=0`, custom)).status).toBe(204);
    const segment = await app.send('/v1/b', { batch: [track('odd')] }, basic(openKey));
    expect(segment.body.rejected).toMatchObject([{ index: 0, code: 'unstorable' }]);
    const rudderstack = await app.send(`/beacon/v1/batch?writeKey=${openKey}`, { batch: [track('odd')] });
    expect(rudderstack.body.rejected).toMatchObject([{ index: 0, code: 'unstorable' }]);
    expect(await kept()).toHaveLength(4);
  });
});

describe('what the database cannot do at the moment', () => {
  it.each([
    ['a full disk', '53100', 500],
    ['too little memory', '53200', 500],
    ['a timeout', '57014', 500],
    ['a lost connection', '08006', 503],
    ['a page that is broken', 'XX001', 500],
    ['a deadlock time after time', '40P01', 500],
    ['an id that others store time after time', '23505', 500],
  ])('refuses no event: %s', async (_, code, status) => {
    await db('event_rejections').del();
    expect((await sendOne(`raise ${code}`)).status).toBe(status);
    expect((await sendBatch([track(`raise ${code}`), track('good')])).status).toBe(status);
    expect(await kept()).toEqual([]);
  });
});
