import { describe, expect, it } from 'vitest';
import { bindAnonymous, endBindings } from '../../src/events/bind.ts';
import { declareTraits } from '../../src/profiles/declared.ts';
import { usualRfm } from '../../src/profiles/rfm.ts';
import { pauseSegment } from '../../src/segments/segment.ts';
import { addTagRule, removeTagRule } from '../../src/segments/tag-rules.ts';
import { changeRfm, defineTrait, editTrait, removeTrait } from '../../src/segments/trait-change.ts';
import { addSubject, agree, basic, clientKey } from '../events/harness.ts';
import { days, segmentsWorld } from './world.ts';

const world = await segmentsWorld();
const { db, create, edit, does, members, settle, later, services } = world;
const minute = 60_000;
const title = { 'zh-CN': '测试', en: 'Test' };
const define = (name: string, definition: unknown) =>
  db.transaction((trx) => defineTrait(trx, services, { name, title, definition }, 'test'));
const buys = (sub: string, order_id: string, total: unknown) =>
  does(sub, 'order_paid', { properties: { order_id, total } });

describe('a segment on a trait that is worked out', () => {
  it('holds whoever it should after the build, follows events, and empties by time alone', async () => {
    const [before, after, none] = [await addSubject(db), await addSubject(db), await addSubject(db)];
    await define('spent_30d', {
      event: 'order_paid',
      within: '30d',
      sum: { of: 'total', minus: { event: 'order_refunded', of: 'total' } },
    });
    await buys(before, 'b1', '600.50');
    await settle();
    await create({ key: 'spenders', where: { trait: 'spent_30d', op: 'gte', value: 600.5 } });
    await create({ key: 'spent-nothing', where: { trait: 'spent_30d', op: 'eq', value: 0 } });
    await settle();
    expect(await members('spenders')).toEqual([before]);
    expect(await members('spent-nothing')).toEqual([after, none].sort());
    await buys(after, 'a1', 600);
    await settle();
    expect(await members('spenders')).toEqual([before]);
    await buys(after, 'a2', 0.5);
    await settle();
    expect(await members('spenders')).toEqual([before, after].sort());
    await does(after, 'order_refunded', { properties: { total: 0.01 } });
    await settle();
    expect(await members('spenders')).toEqual([before]);
    await later(days(30) - 1);
    expect(await members('spenders')).toEqual([before]);
    await later(1);
    expect(await members('spenders')).toEqual([]);
    expect(await members('spent-nothing')).toEqual([before, after, none].sort());
  });

  it('is built again when the trait becomes another, and keeps it from going', async () => {
    const sub = await addSubject(db);
    await define('visits', { event: 'store_visited', count: true });
    await create({ key: 'visitors', where: { trait: 'visits', op: 'gte', value: 1 } });
    await does(sub, 'store_visited', { channel: 'store' });
    await settle();
    expect(await members('visitors')).toEqual([sub]);
    await db.transaction((trx) =>
      editTrait(trx, services, 'visits', {
        name: 'visits',
        title,
        definition: { event: 'appointment_booked', count: true },
      }),
    );
    await settle();
    expect(await members('visitors')).toEqual([]);
    await does(sub, 'appointment_booked');
    await settle();
    expect(await members('visitors')).toEqual([sub]);
    await expect(db.transaction((trx) => removeTrait(trx, 'visits'))).rejects.toMatchObject({ code: 'conflict' });
  });

  it('is asked with the trait as it is now, though its next version does without', async () => {
    const [early, late] = [await addSubject(db), await addSubject(db)];
    await define('calls', { event: 'call_made', count: true });
    await create({ key: 'callers', where: { trait: 'calls', op: 'gte', value: 1 } });
    await settle();
    await edit('callers', { where: { event: 'call_missed' } });
    await does(early, 'call_made');
    while (await world.round());
    const answered = { name: 'calls', title, definition: { event: 'call_answered', count: true } };
    await db.transaction((trx) => editTrait(trx, services, 'calls', answered));
    await does(late, 'call_answered');
    while (await world.round());
    expect(await members('callers')).toEqual([early, late].sort());
    await settle();
    expect(await members('callers')).toEqual([]);
  });

  it('is built again too when it looks through one that is paused', async () => {
    const [before, after] = [await addSubject(db), await addSubject(db)];
    await define('tries', { event: 'tried_on', count: true });
    await create({ key: 'triers', where: { trait: 'tries', op: 'gte', value: 1 } });
    await create({ key: 'through-triers', where: { all: [{ segment: 'triers' }] } });
    await does(before, 'tried_on');
    await does(after, 'tried_out');
    await settle();
    await db.transaction((trx) => pauseSegment(trx, services, 'triers'));
    await db.transaction((trx) =>
      editTrait(trx, services, 'tries', { name: 'tries', title, definition: { event: 'tried_out', count: true } }),
    );
    await settle();
    expect(await members('triers')).toEqual([before]);
    expect(await members('through-triers')).toEqual([after]);
    // One that was never built is looked through by what it says now.
    await create({ key: 'never-built', where: { event: 'tried_on' } });
    await db.transaction((trx) => pauseSegment(trx, services, 'never-built'));
    await create({ key: 'through-never-built', where: { segment: 'never-built' } });
    await settle();
    expect(await members('through-never-built')).toEqual([before]);
    await edit('never-built', { where: { event: 'tried_out' } });
    await settle();
    expect(await members('through-never-built')).toEqual([after]);
  });

  it('F16: counts only what was collected for its purpose, and nobody once they withdrew', async () => {
    const sub = await addSubject(db);
    await agree(db, sub, 'marketing');
    await create({ key: 'buyers', purpose: 'marketing', where: { trait: 'orders_count', op: 'gte', value: 1 } });
    await settle();
    await buys(sub, 'service-only', 5);
    await settle();
    expect(await members('buyers')).toEqual([]);
    await does(sub, 'order_paid', {
      properties: { order_id: 'm' },
      context: { consent: { categoryPreferences: { marketing: true } } },
    });
    await settle();
    expect(await members('buyers')).toEqual([sub]);
    await db('consents').insert({
      subject_id: sub,
      purpose: 'marketing',
      version: '1',
      is_granted: false,
      channel: 'website',
    });
    await settle();
    expect(await members('buyers')).toEqual([]);
  });

  it('moves through the RFM groups as thresholds and time say, live and built alike', async () => {
    const sub = await addSubject(db);
    for (let n = 0; n < 3; n++) await buys(sub, `rfm${n}`, 400);
    const groups = ['important_value', 'important_keep', 'important_win_back'];
    for (const group of groups) await create({ key: group, where: { trait: 'rfm_segment', op: 'eq', value: group } });
    await settle();
    const inside = async () => {
      const found = [];
      for (const group of groups) if ((await members(group)).includes(sub)) found.push(group);
      return found.join();
    };
    expect(await inside()).toBe('important_value');
    await later(days(60));
    expect(await inside()).toBe('important_keep');
    await db.transaction((trx) => changeRfm(trx, services, { ...usualRfm, frequency: [2, 4, 5, 8] }, 'test'));
    await settle();
    expect(await inside()).toBe('important_win_back');
  });
});

describe('a tag by rule', () => {
  const rule = (tag: string, segment: string) =>
    db.transaction((trx) => addTagRule(trx, services, { tag, segment, by: 'test' }));

  it('is carried by the members of its segment in every segment that asks for it, and by whom it was given', async () => {
    const [searcher, given] = [await addSubject(db), await addSubject(db)];
    await create({ key: 'searchers', where: { event: 'searched', within: '7d' } });
    await create({ key: 'tagged', where: { tag: 'curious' } });
    await db('profile_tags').insert({ subject_id: given, tag: 'curious', added_by: 'staff:wang' });
    await does(searcher, 'searched');
    await settle();
    expect(await members('tagged')).toEqual([given]);
    await rule('curious', 'searchers');
    await settle();
    expect(await members('tagged')).toEqual([searcher, given].sort());
    await later(days(7));
    expect(await members('tagged')).toEqual([given]);
    await does(searcher, 'searched');
    await settle();
    expect(await members('tagged')).toEqual([searcher, given].sort());
    await db.transaction((trx) => removeTagRule(trx, services, { tag: 'curious', segment: 'searchers' }));
    await settle();
    expect(await members('tagged')).toEqual([given]);
  });

  it('is refused where the segment asks for the tag itself, and so is the segment later', async () => {
    await create({ key: 'self', where: { tag: 'own' } });
    await create({ key: 'through', where: { not: { segment: 'self' } } });
    for (const segment of ['self', 'through'])
      await expect(rule('own', segment)).rejects.toMatchObject({ code: 'invalid_fields' });
    await create({ key: 'plain', where: { event: 'clicked' } });
    await rule('clicker', 'plain');
    await expect(edit('plain', { where: { tag: 'clicker' } })).rejects.toMatchObject({
      fields: { where: expect.stringContaining('plain → plain') },
    });
  });
});

describe('a segment hears of what is no event', () => {
  it('of a word by which somebody leaves earlier than was known', async () => {
    const sub = await addSubject(db);
    await create({ key: 'renew-soon', where: { trait: 'renewal', op: 'in_next', value: '30d' } });
    await settle();
    const start = world.clock.now().getTime();
    for (const inDays of [10, 2]) {
      const traits = { renewal: new Date(start + days(inDays)).toISOString() };
      await db.transaction((trx) => declareTraits(trx, services, { sub, traits, source: 'staff:wang' }));
      await later(days(1) - 1);
      expect(await members('renew-soon')).toEqual([sub]);
    }
    await later(2);
    expect(await members('renew-soon')).toEqual([]);
  });

  it('of a tag, a trait and an identity that come, change and go, of a binding, of a choice, of who may not be one', async () => {
    world.clock.set(new Date().toISOString());
    const [sub, before] = [await addSubject(db), await addSubject(db)];
    await agree(db, sub);
    await create({ key: 'of-the-tag', where: { tag: 'loyal' } });
    await create({ key: 'of-the-trait', where: { trait: 'level', op: 'eq', value: 'gold' } });
    await create({ key: 'of-the-phone', where: { identity: 'phone' } });
    await create({ key: 'of-the-device', where: { event: 'brochure_opened' } });
    await create({ key: 'of-a-time-ahead', where: { event: 'brochure_closed' } });
    await create({ key: 'of-all', where: { not: { tag: 'cold' } } });
    const anonymousId = 'a-device-that-is-heard-of';
    const track = (event: string, ahead: number) => {
      const timestamp = new Date(world.clock.now().getTime() + ahead).toISOString();
      return { type: 'track', event, anonymousId, timestamp };
    };
    const batch = [track('brochure_opened', 0), track('brochure_closed', 2 * minute)];
    await world.app.send('/v1/batch', { batch }, basic(clientKey));
    await settle();
    const inside = async () => {
      await settle();
      return (
        await db('segment_members').where({ subject_id: sub }).whereLike('segment_key', 'of-%').orderBy('segment_key')
      )
        .map(({ segment_key }) => segment_key)
        .join(' ');
    };
    const say = (level: string | null) =>
      db.transaction((trx) => declareTraits(trx, services, { sub, traits: { level }, source: 'staff:wang' }));
    expect(await inside()).toBe('of-all');
    const newcomer = await addSubject(db);
    await settle();
    expect(await members('of-all')).toContain(newcomer);
    await db('profile_tags').insert({ subject_id: sub, tag: 'loyal', added_by: 'staff:wang' });
    expect(await inside()).toBe('of-all of-the-tag');
    await db('profile_tags').where({ subject_id: sub }).delete();
    expect(await inside()).toBe('of-all');
    await say('silver');
    await settle();
    await say('gold');
    expect(await inside()).toBe('of-all of-the-trait');
    await say(null);
    expect(await inside()).toBe('of-all');
    const grant_id = 'a-grant';
    await bindAnonymous(db, { anonymous_id: anonymousId, subject_id: sub, method: 'token', grant_id });
    expect(await inside()).toBe('of-all of-the-device');
    await later(2 * minute);
    expect(await members('of-a-time-ahead')).toEqual([sub]);
    await endBindings(db, [grant_id]);
    expect(await inside()).toBe('of-all of-the-device');
    const now = world.clock.now();
    const phone = { kind: 'phone', lookup: 'a phone', verified_at: now, last_used_at: now };
    await db('identities').insert({ ...phone, subject_id: before });
    expect(await members('of-the-phone')).toEqual([]);
    await settle();
    expect(await members('of-the-phone')).toEqual([before]);
    await db('identities').where({ subject_id: before }).update({ subject_id: sub });
    expect(await inside()).toBe('of-all of-the-device of-the-phone');
    expect(await members('of-the-phone')).toEqual([sub]);
    await db('identities').where({ subject_id: sub }).delete();
    expect(await inside()).toBe('of-all of-the-device');
    for (const is_on of [false, true]) {
      await db('personalisation_choices').insert({ subject_id: sub, is_on, channel: 'website' });
      expect(await inside()).toBe(is_on ? 'of-all of-the-device' : '');
    }
    await db('subjects').where({ id: sub }).update({ status: 'suspended' });
    expect(await inside()).toBe('');
  });
});
