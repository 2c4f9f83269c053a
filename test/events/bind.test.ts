/** Whose an anonymous id is, and when. */
import { hash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { bindAnonymous, endBindings } from '../../src/events/bind.ts';
import { timeline } from '../../src/events/timeline.ts';
import { testDatabase } from '../helpers/database.ts';
import { addSubject, agree, basic, clientKey, eventRows, eventsApp, openKey, seedKeys, serverKey } from './harness.ts';

const { db } = await testDatabase();
const app = await eventsApp(db);
await seedKeys(db);

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const ago = (ms: number) => new Date(Date.now() - ms).toISOString();
const device = () => `device-${crypto.randomUUID()}`;

/** Something the device did then, or so many milliseconds ago, sent now. */
async function did(anonymousId: string, what: string, when: number | Date = 0, headers = basic(clientKey)) {
  const event = {
    type: 'track',
    event: what,
    anonymousId,
    timestamp: when instanceof Date ? when.toISOString() : ago(when),
    messageId: crypto.randomUUID(),
  };
  expect((await app.send('/v1/batch', { batch: [event] }, headers)).body).toEqual({ success: true, rejected: [] });
}
const seenBy = async (sub: string) => (await timeline(db, sub)).data.map(({ event, trust }) => `${event} ${trust}`);
const person = async () => {
  const sub = await addSubject(db);
  await agree(db, sub);
  return sub;
};
/** Moves everything about a device into the past. */
async function age(anonymous_id: string, ms: number) {
  const earlier = (column: string) => db.raw("?? - ? * interval '1 millisecond'", [column, ms]);
  await db('events')
    .whereRaw('anonymous_key = id_key(?)', [anonymous_id])
    .update({ timestamp: earlier('timestamp') });
  const columns = ['bound_at', 'ends_at', 'looks_back_to', 'last_seen_at', 'created_at'];
  await db('anonymous_bindings')
    .where({ anonymous_id })
    .update(Object.fromEntries(columns.map((name) => [name, earlier(name)])));
}

describe('a bound anonymous id', () => {
  it('gives its events to the subject from that moment, with the trust bound', async () => {
    const [lily, phone] = [await addSubject(db), device()];
    await bindAnonymous(db, { anonymous_id: phone, subject_id: lily, method: 'token', grant_id: 'g1' });
    await did(phone, 'after');
    expect(await seenBy(lily)).toEqual(['after bound']);
    expect((await eventRows(db, { anonymous_id: phone }))[0]).toMatchObject({ subject_id: lily, trust: 'bound' });
  });

  it('has what happened in the very millisecond of the sign-in, since events know no finer time', async () => {
    const [lily, phone] = [await addSubject(db), device()];
    await bindAnonymous(db, { anonymous_id: phone, subject_id: lily, method: 'token' });
    const { bound_at } = await db('anonymous_bindings').where({ anonymous_id: phone }).first();
    await did(phone, 'at once', bound_at);
    expect(await seenBy(lily)).toEqual(['at once bound']);
  });

  it('looks back thirty days with the profiling consent, and not a moment without', async () => {
    for (const [agreed, expected] of [
      [true, ['29 days bound']],
      [false, []],
    ] as const) {
      const [sub, phone] = [agreed ? await person() : await addSubject(db), device()];
      await did(phone, '29 days', 29 * day);
      await did(phone, '31 days', 31 * day);
      await bindAnonymous(db, { anonymous_id: phone, subject_id: sub, method: 'token' });
      expect(await seenBy(sub)).toEqual(expected);
    }
  });

  it('F3: looks back for nobody who writes as a UUID what its id is found by', async () => {
    const [lily, thief, phone] = [await person(), await person(), device()];
    await did(phone, 'before the sign-in');
    await bindAnonymous(db, { anonymous_id: phone, subject_id: lily, method: 'token' });
    const [{ anonymous_key }] = await eventRows(db, { anonymous_id: phone });
    const asUuid = (md5: string) => md5.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
    for (const anonymous_id of [anonymous_key, asUuid(hash('md5', phone, 'hex'))])
      await bindAnonymous(db, { anonymous_id, subject_id: thief, method: 'token' });
    expect(await seenBy(thief)).toEqual([]);
    expect(await seenBy(lily)).toEqual(['before the sign-in bound']);
  });

  it('gives up an event that happened before the binding and arrives after it by the same rule', async () => {
    const [agreed, silent] = [await person(), await addSubject(db)];
    for (const [sub, expected] of [
      [agreed, ['late bound']],
      [silent, []],
    ] as const) {
      const phone = device();
      await bindAnonymous(db, { anonymous_id: phone, subject_id: sub, method: 'token' });
      await did(phone, 'late', 2 * hour);
      expect(await seenBy(sub)).toEqual(expected);
    }
  });

  it('on a shared device splits by interval, and nobody looks back into another’s time', async () => {
    const [lily, wang, tablet] = [await person(), await person(), device()];
    await did(tablet, 'before anybody', 3 * hour);
    await bindAnonymous(db, { anonymous_id: tablet, subject_id: lily, method: 'token', grant_id: 'of-lily' });
    await did(tablet, 'lily');
    await age(tablet, 2 * hour);
    await bindAnonymous(db, { anonymous_id: tablet, subject_id: wang, method: 'token', grant_id: 'of-wang' });
    await did(tablet, 'wang');
    await did(tablet, 'lily, sent late', hour);
    expect(await seenBy(lily)).toEqual(['lily, sent late bound', 'lily bound', 'before anybody bound']);
    expect(await seenBy(wang)).toEqual(['wang bound']);
    const bindings = await db('anonymous_bindings').where({ anonymous_id: tablet }).orderBy('bound_at');
    expect(bindings[0].ends_at).toEqual(bindings[1].bound_at);
    expect(bindings[1].looks_back_to).toEqual(bindings[1].bound_at);
  });

  it('is nobody’s after the grant ends, and what happens then is the next one’s look-back', async () => {
    // Lily agrees to nothing: what was before her stays nobody's.
    const [lily, wang, tablet] = [await addSubject(db), await person(), device()];
    const grant_id = crypto.randomUUID();
    await did(tablet, 'before lily', hour);
    await bindAnonymous(db, { anonymous_id: tablet, subject_id: lily, method: 'token', grant_id });
    await did(tablet, 'lily');
    await age(tablet, 3 * hour);
    await endBindings(db, [grant_id]);
    await db('anonymous_bindings')
      .where({ anonymous_id: tablet })
      .update({ ends_at: ago(2 * hour) });
    await did(tablet, 'between', hour);
    await bindAnonymous(db, { anonymous_id: tablet, subject_id: wang, method: 'token' });
    expect(await seenBy(lily)).toEqual(['lily bound']);
    expect(await seenBy(wang)).toEqual(['between bound']);
  });

  it('is nobody’s after thirty idle days; being used keeps it', async () => {
    const [lily, used, idle] = [await addSubject(db), device(), device()];
    for (const phone of [used, idle]) {
      await bindAnonymous(db, { anonymous_id: phone, subject_id: lily, method: 'token' });
      await age(phone, 20 * day);
    }
    await did(used, 'still here');
    for (const phone of [used, idle]) {
      await db('anonymous_bindings')
        .where({ anonymous_id: phone })
        .update({ last_seen_at: db.raw("last_seen_at - interval '11 days'") });
      await did(phone, phone === used ? 'used' : 'idle');
    }
    expect((await seenBy(lily)).sort()).toEqual(['still here bound', 'used bound']);
  });

  it('stays bound when the same subject signs in again, until the newer grant ends', async () => {
    const [lily, phone] = [await person(), device()];
    const [first, second] = [crypto.randomUUID(), crypto.randomUUID()];
    await bindAnonymous(db, { anonymous_id: phone, subject_id: lily, method: 'token', grant_id: first });
    await bindAnonymous(db, { anonymous_id: phone, subject_id: lily, method: 'token', grant_id: second });
    await endBindings(db, [first]);
    await did(phone, 'one');
    expect(await db('anonymous_bindings').where({ anonymous_id: phone })).toHaveLength(1);
    await endBindings(db, [second]);
    // A second later: within one millisecond a sender's clock cannot tell before from after.
    await did(phone, 'two', -1_000);
    expect(await seenBy(lily)).toEqual(['one bound']);
  });

  it('is bound once when many ask at the same instant, and to one at a time', async () => {
    const [lily, wang, phone] = [await person(), await person(), device()];
    const binds = Array.from({ length: 12 }, (_, n) =>
      bindAnonymous(db, { anonymous_id: phone, subject_id: n % 2 ? lily : wang, method: 'token' }),
    );
    await Promise.all(binds);
    const open = await db('anonymous_bindings').where({ anonymous_id: phone }).whereNull('ends_at');
    expect(open).toHaveLength(1);
  });

  it('of a deleted subject gives it nothing', async () => {
    const [gone, phone] = [await person(), device()];
    await bindAnonymous(db, { anonymous_id: phone, subject_id: gone, method: 'token' });
    await db('subjects').where({ id: gone }).update({ status: 'deleted' });
    await did(phone, 'after');
    expect((await eventRows(db, { anonymous_id: phone }))[0]).toMatchObject({ subject_id: null, trust: 'claimed' });
  });

  it('never binds what is no id', async () => {
    const lily = await addSubject(db);
    for (const anonymous_id of ['', 'a\0b', 'x'.repeat(201)]) {
      await bindAnonymous(db, { anonymous_id, subject_id: lily, method: 'token' });
    }
    expect(await db('anonymous_bindings').where({ subject_id: lily })).toEqual([]);
  });
});

describe("a server's identify", () => {
  const identify = (userId: string, anonymousId: string, ms = 0) =>
    app.send('/v1/identify', { userId, anonymousId, timestamp: ago(ms) }, basic(serverKey));

  it('with an anonymous id and an existing sub binds', async () => {
    const [lily, phone] = [await person(), device()];
    await did(phone, 'before', minute);
    await identify(lily, phone);
    await did(phone, 'after');
    expect((await seenBy(lily)).sort()).toEqual(['after bound', 'before bound', 'identified server']);
  });

  it('of somebody unknown binds nothing', async () => {
    const phone = device();
    await identify(crypto.randomUUID(), phone);
    await identify('user-17', phone);
    expect(await db('anonymous_bindings').where({ anonymous_id: phone })).toEqual([]);
  });

  it('that is history from long ago binds nobody now', async () => {
    const [lily, phone] = [await person(), device()];
    await identify(lily, phone, 40 * day);
    expect(await db('anonymous_bindings').where({ anonymous_id: phone })).toEqual([]);
  });
});

describe('an ID token on an identify', () => {
  const identify = (anonymousId: string, id_token: string, key = clientKey) =>
    app.send('/v1/identify', { anonymousId, userId: 'x', context: { id_token } }, basic(key));

  it('of a client of this key binds, and is not stored', async () => {
    const [lily, phone] = [await person(), device()];
    app.idTokens.set('jwt-of-lily', { sub: lily, client_id: 'website' });
    await identify(phone, 'jwt-of-lily');
    await did(phone, 'after');
    expect(await seenBy(lily)).toEqual(['after bound', 'identified bound']);
    expect(JSON.stringify(await eventRows(db, { anonymous_id: phone }))).not.toContain('jwt-of-lily');
  });

  it('that is invalid, or of a client of another key, binds nothing', async () => {
    const [lily, phone] = [await person(), device()];
    app.idTokens.set('jwt-of-another-client', { sub: lily, client_id: 'somebody-else' });
    app.idTokens.set('jwt-of-the-website', { sub: lily, client_id: 'website' });
    await identify(phone, 'nonsense');
    await identify(phone, 'jwt-of-another-client');
    await identify(phone, 'jwt-of-the-website', openKey);
    expect(await db('anonymous_bindings').where({ anonymous_id: phone })).toEqual([]);
  });

  it('in a batch takes along what the person did before it was sent, ten minutes back at most without consent', async () => {
    const [lily, phone] = [await addSubject(db), device()];
    app.idTokens.set('jwt-in-batch', { sub: lily, client_id: 'website' });
    const at = (event: string, ms: number) => ({ type: 'track', event, anonymousId: phone, timestamp: ago(ms) });
    const identify = {
      type: 'identify',
      anonymousId: phone,
      context: { id_token: 'jwt-in-batch' },
      timestamp: ago(8_000),
    };
    await app.send('/v1/batch', { batch: [at('before', 9_000), identify, at('after', 7_000)] }, basic(clientKey));
    expect(await seenBy(lily)).toEqual(['after bound', 'identified bound']);
    const [old, slow] = [await addSubject(db), device()];
    app.idTokens.set('jwt-late', { sub: old, client_id: 'website' });
    const late = { type: 'identify', anonymousId: slow, context: { id_token: 'jwt-late' }, timestamp: ago(5 * day) };
    await app.send('/v1/batch', { batch: [late] }, basic(clientKey));
    expect(await seenBy(old)).toEqual([]);
  });
});
