import { describe, expect, it } from 'vitest';
import { usualRfm } from '../../src/profiles/rfm.ts';
import { rebuildSeeing } from '../../src/segments/build.ts';
import { explainMembership } from '../../src/segments/membership.ts';
import { whatIsWaiting } from '../../src/segments/queue.ts';
import { archiveSegment, changeList, createList, pauseSegment, resumeSegment } from '../../src/segments/segment.ts';
import { addTagRule, removeTagRule } from '../../src/segments/tag-rules.ts';
import { changeRfm } from '../../src/segments/trait-change.ts';
import { absorb, addSubject, agree } from '../events/harness.ts';
import { days, segmentsWorld } from './world.ts';

const world = await segmentsWorld();
const { db, create, edit, does, members, settle, later, build } = world;
const log = async (segment_key: string, subject_id: string) =>
  (
    await db('segment_changes as c')
      .join('segments as s', 's.id', 'c.segment_id')
      .where({ 's.key': segment_key, subject_id })
      .orderBy('c.id')
      .select('c.change', 'c.reason')
  ).map(({ change, reason }) => `${change} by ${reason}`);
const sizeOf = async (key: string) =>
  (
    await db('segment_sizes as z')
      .join('segments as s', 's.id', 'z.segment_id')
      .where({ 's.key': key })
      .orderBy('hour', 'desc')
      .first('size')
  )?.size;

describe('a segment', () => {
  it('fills with who was there before, and lives from then on', async () => {
    const [before, after, never] = [await addSubject(db), await addSubject(db), await addSubject(db)];
    await does(before, 'product_viewed');
    await settle();
    await create({ key: 'viewers', where: { event: 'product_viewed', within: '30d' } });
    await settle();
    expect(await members('viewers')).toEqual([before]);
    await does(after, 'product_viewed');
    await does(never, 'cart_added');
    await settle();
    expect(await members('viewers')).toEqual([before, after].sort());
    expect(await log('viewers', before)).toEqual(['entered by definition']);
    expect(await log('viewers', after)).toEqual(['entered by event']);
    expect(await sizeOf('viewers')).toBe(2);
    const told = await db('outbox').where({ topic: 'segment.entered', subject_id: after });
    expect(told.map(({ payload }) => payload)).toMatchObject([{ segment: 'viewers', version: 1, reason: 'event' }]);
  });

  it('empties by itself at the very moment the window has passed', async () => {
    const sub = await addSubject(db);
    const term = (value: string) => ({ properties: { term: value } });
    const isCamera = { property: 'term', op: 'eq', value: 'camera' };
    await create({ key: 'a-week', where: { event: 'searched', where: [isCamera], within: '7d' } });
    await settle();
    const again = await addSubject(db);
    for (const one of [sub, again]) await does(one, 'searched', term('camera'));
    await settle();
    await later(days(1));
    await does(again, 'searched', term('camera'));
    await later(days(6) - 1);
    // Looked at by what does not count: what is a millisecond from its end is read and does.
    await does(sub, 'searched', term('lens'));
    await settle();
    expect(await members('a-week')).toEqual([sub, again].sort());
    world.clock.set(new Date(world.clock.now().getTime() + 1).toISOString());
    // Before anybody has looked: a member that nobody is any more, since never.
    expect(await members('a-week')).toEqual([sub, again].sort());
    expect(await explainMembership(world, 'a-week', sub)).toMatchObject({ is_member: false, entered_at: null });
    await settle();
    expect(await members('a-week')).toEqual([again]);
    expect(await log('a-week', sub)).toEqual(['entered by event', 'exited by time']);
    expect(await db('segment_states').where({ subject_id: sub }).count()).toMatchObject([{ count: 0 }]);
    await later(days(1));
    expect(await members('a-week')).toEqual([]);
  });

  it('names the value that met a condition per product', async () => {
    const sub = await addSubject(db);
    await create({
      key: 'twice-the-same',
      where: {
        per: 'product_id',
        all: [{ event: 'product_viewed', count: { gte: 2 } }, { not: { event: 'order_paid' } }],
      },
    });
    for (const product_id of ['p1', 'p2', 'p2', 'p1'])
      await does(sub, 'product_viewed', { properties: { product_id } });
    await does(sub, 'order_paid', { properties: { product_id: 'p1' } });
    await settle();
    const matched = () =>
      db('segment_members').where({ segment_key: 'twice-the-same' }).select('matched', 'entered_at');
    const entered_at = world.clock.now();
    expect(await matched()).toEqual([{ matched: { product_id: ['p2'] }, entered_at }]);
    world.clock.set(new Date(entered_at.getTime() + 1000).toISOString());
    for (const product_id of ['p0', 'p0']) await does(sub, 'product_viewed', { properties: { product_id } });
    await settle();
    expect(await matched()).toEqual([{ matched: { product_id: ['p0', 'p2'] }, entered_at }]);
  });

  it('is entered by what happens on its channel in its context, whatever happened before elsewhere', async () => {
    const sub = await addSubject(db);
    const source = { property: 'context.campaign.source', op: 'eq', value: 'wechat' };
    await create({ key: 'by-campaign', where: { event: 'landed', channel: 'website', where: [source] } });
    await settle();
    for (const [channel, found, is] of [
      ['app', 'wechat', []],
      ['website', 'baidu', []],
      ['website', 'wechat', [sub]],
    ] as const) {
      await does(sub, 'landed', { context: { channel, campaign: { source: found } } });
      await settle();
      expect(await members('by-campaign'), `${channel} ${found}`).toEqual(is);
    }
  });

  it('holds only who agreed to its purpose in the version in force, from the moment they do until they take it back', async () => {
    const sub = await addSubject(db);
    await create({ key: 'marketing', purpose: 'marketing', where: { event: 'form_submitted' } });
    const agreed = { consent: { categoryPreferences: { marketing: true } } };
    await does(sub, 'form_submitted', { context: agreed });
    await settle();
    expect(await members('marketing')).toEqual([]);
    const older = { subject_id: sub, purpose: 'marketing', version: '0', is_granted: true, channel: 'website' };
    await db('consents').insert(older);
    await settle();
    expect(await members('marketing')).toEqual([]);
    await agree(db, sub, 'marketing');
    await settle();
    expect(await members('marketing')).toEqual([sub]);
    await db('personalisation_choices').insert({ subject_id: sub, is_on: false, channel: 'website' });
    await settle();
    expect(await log('marketing', sub)).toEqual(['entered by consent', 'exited by personalisation']);
  });

  it('reads a merge and its undo without an event being touched', async () => {
    const [survivor, absorbed] = [await addSubject(db), await addSubject(db)];
    await create({ key: 'downloads', where: { event: 'file_downloaded' } });
    await create({ key: 'two-downloads', where: { event: 'file_downloaded', count: { gte: 2 } } });
    await create({ key: 'three-downloads', where: { event: 'file_downloaded', count: { gte: 3 } } });
    await create({ key: 'tagged-since', where: { tag: 'since' } });
    await does(survivor, 'file_downloaded');
    await does(absorbed, 'file_downloaded');
    await agree(db, survivor);
    await settle();
    expect(await members('two-downloads')).toEqual([]);
    expect(await members('downloads')).toEqual([survivor, absorbed].sort());
    await absorb(db, absorbed, survivor);
    await settle();
    expect(await members('two-downloads')).toEqual([survivor]);
    expect(await members('downloads')).toEqual([survivor]);
    // What is told of the sub that was absorbed is about the survivor.
    await does(absorbed, 'file_downloaded');
    await settle();
    expect(await members('three-downloads')).toEqual([survivor]);
    await db('profile_tags').insert({ subject_id: absorbed, tag: 'since', added_by: 'staff:wang' });
    await settle();
    expect(await members('tagged-since')).toEqual([survivor]);
    await db('subject_aliases').where({ absorbed_id: absorbed }).delete();
    await db('subjects').where({ id: absorbed }).update({ status: 'active' });
    await settle();
    expect(await members('two-downloads')).toEqual([absorbed]);
    expect(await members('three-downloads')).toEqual([]);
    expect(await members('tagged-since')).toEqual([absorbed]);
    expect(await log('two-downloads', survivor)).toEqual(['entered by merge', 'exited by merge']);
  });

  it('is edited without a gap: the version in force stays until the new one is known for everybody', async () => {
    const [both, old, fresh] = [await addSubject(db), await addSubject(db), await addSubject(db)];
    await create({ key: 'edited', where: { event: 'video_played' } });
    for (const sub of [both, old]) await does(sub, 'video_played');
    for (const sub of [both, fresh]) await does(sub, 'shared');
    await settle();
    const entered = await db('segment_members').where({ segment_key: 'edited', subject_id: both }).first('entered_at');
    world.clock.set(new Date(world.clock.now().getTime() + 1000).toISOString());
    await edit('edited', { where: { event: 'shared' } });
    expect(await members('edited')).toEqual([both, old].sort());
    expect(await explainMembership(world, 'edited', old)).toMatchObject({ is_member: true });
    // Meanwhile somebody does what only the new version asks for, and another what only the old one does.
    const [meanwhile, late] = [await addSubject(db), await addSubject(db)];
    await does(meanwhile, 'shared');
    await does(late, 'video_played');
    while (await world.round());
    expect(await members('edited')).toEqual([both, old, late].sort());
    await settle();
    expect(await members('edited')).toEqual([both, fresh, meanwhile].sort());
    expect(await db('segment_members').where({ segment_key: 'edited', subject_id: both }).first('entered_at')).toEqual(
      entered,
    );
    expect(await log('edited', both)).toEqual(['entered by definition']);
    expect(await log('edited', late)).toEqual(['entered by event', 'exited by definition']);
    expect(await sizeOf('edited')).toBe(3);
  });

  it('is built again when a segment that it looks through changes', async () => {
    const sub = await addSubject(db);
    await create({ key: 'inner', where: { event: 'store_visited', count: { gte: 2 } } });
    await create({ key: 'outer', where: { not: { segment: 'inner' } } });
    await does(sub, 'store_visited');
    await settle();
    expect(await members('outer')).toContain(sub);
    await edit('inner', { where: { event: 'store_visited' } });
    await settle();
    expect(await members('inner')).toEqual([sub]);
    expect(await members('outer')).not.toContain(sub);
  });

  it('refuses a ring of segments that ask for each other', async () => {
    await create({ key: 'ring-a', where: { event: 'clicked' } });
    await create({ key: 'ring-b', where: { segment: 'ring-a' } });
    await expect(edit('ring-a', { where: { not: { segment: 'ring-b' } } })).rejects.toMatchObject({
      code: 'invalid_fields',
      fields: { where: expect.stringContaining('ring-a → ring-b → ring-a') },
    });
  });

  it('is looked through as it was while it is paused: what would make a ring with that is refused, and what it rests on stays', async () => {
    await create({ key: 'paused-base', where: { event: 'clicked' } });
    await create({ key: 'paused-a', where: { all: [{ not: { tag: 'cold' } }, { segment: 'paused-base' }] } });
    await create({ key: 'paused-b', where: { segment: 'paused-a' } });
    await settle();
    await db.transaction((trx) => pauseSegment(trx, world.services, 'paused-a'));
    await edit('paused-a', { where: { event: 'clicked' } });
    const rule = { tag: 'cold', segment: 'paused-b', by: 'test' };
    await expect(db.transaction((trx) => addTagRule(trx, world.services, rule))).rejects.toMatchObject({
      code: 'invalid_fields',
      fields: { segment: expect.stringContaining('paused-b → paused-a → paused-b') },
    });
    const archive = () => db.transaction((trx) => archiveSegment(trx, world.services, 'paused-base'));
    await expect(archive()).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining('paused-a') });
    await db.transaction((trx) => resumeSegment(trx, world.services, 'paused-a'));
    await settle();
    await archive();
    expect(await db.transaction((trx) => addTagRule(trx, world.services, rule))).toBe(true);
    await db.transaction((trx) => removeTagRule(trx, world.services, rule));
  });

  it('refuses one of two edits at once that are a ring together', async () => {
    for (const key of ['at-once-a', 'at-once-b']) await create({ key, where: { event: 'clicked' } });
    await settle();
    const edits = await Promise.allSettled([
      edit('at-once-a', { where: { segment: 'at-once-b' } }),
      edit('at-once-b', { where: { segment: 'at-once-a' } }),
    ]);
    expect(edits.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    await settle();
  });

  it('F9: lives on beside somebody whose trait is a moment that is written with five digits for the year', async () => {
    const [strange, other] = [await addSubject(db), await addSubject(db)];
    await create({ key: 'renewed', where: { trait: 'renewal', op: 'in_last', value: '30d' } });
    await create({ key: 'readers', where: { event: 'page_read' } });
    await settle();
    const value = JSON.stringify('9999-12-31T23:59:59-15:59');
    await db('profile_traits').insert({ subject_id: strange, name: 'renewal', value, source: 'self', at: new Date() });
    await does(other, 'page_read');
    await settle();
    expect(await members('readers')).toEqual([other]);
    expect(await members('renewed')).toEqual([]);
  });

  it('is one of twenty that five hundred people enter at once: more values than one statement has parameters', async () => {
    const keys = Array.from({ length: 20 }, (_, n) => `crowd-${n}`);
    for (const key of keys) await create({ key, purpose: 'marketing', where: { sample: { percent: 100, salt: key } } });
    const { rows } = await db.raw(
      'insert into subjects (id) select uuid_v7() from generate_series(1, 500) returning id',
    );
    await settle();
    await db('consents').insert(
      rows.map(({ id }: { id: string }) => ({
        subject_id: id,
        purpose: 'marketing',
        version: '1',
        is_granted: true,
        channel: 'website',
      })),
    );
    await settle();
    for (const key of keys) expect(await sizeOf(key)).toBe(500);
    for (const key of keys) await db.transaction((trx) => archiveSegment(trx, world.services, key));
  });

  it('is paused while it is being built, and loses nobody without a word', async () => {
    const sub = await addSubject(db);
    await does(sub, 'catalogue_opened');
    await settle();
    await create({ key: 'paused-early', where: { event: 'catalogue_opened', within: '1d' } });
    const pausing = db.transaction((trx) => pauseSegment(trx, world.services, 'paused-early'));
    await Promise.all([build(), pausing]);
    await later(days(2));
    expect(await members('paused-early')).toHaveLength((await sizeOf('paused-early')) ?? 0);
    await db.transaction((trx) => resumeSegment(trx, world.services, 'paused-early'));
    await does(sub, 'catalogue_opened');
    await settle();
    expect(await members('paused-early')).toEqual([sub]);
    expect(await sizeOf('paused-early')).toBe(1);
  });

  it('stands still while it is paused, and catches up', async () => {
    const [early, late] = [await addSubject(db), await addSubject(db)];
    await create({ key: 'paused', where: { event: 'article_viewed', within: '7d' } });
    await does(early, 'article_viewed');
    await settle();
    await db.transaction((trx) => pauseSegment(trx, world.services, 'paused'));
    await does(late, 'article_viewed');
    await later(days(8));
    expect(await members('paused')).toEqual([early]);
    await does(late, 'article_viewed');
    await db.transaction((trx) => resumeSegment(trx, world.services, 'paused'));
    await settle();
    expect(await members('paused')).toEqual([late]);
  });

  it('F16: is left by whoever takes their consent back while it is paused, and by nobody else', async () => {
    const [back, off, stays] = [await addSubject(db), await addSubject(db), await addSubject(db)];
    const subs = [back, off, stays];
    await create({ key: 'paused-marketing', purpose: 'marketing', where: { event: 'checkout_started', within: '7d' } });
    for (const sub of subs) {
      await agree(db, sub, 'marketing');
      await does(sub, 'checkout_started', { context: { consent: { categoryPreferences: { marketing: true } } } });
    }
    await settle();
    expect(await members('paused-marketing')).toEqual(subs.toSorted());
    await db.transaction((trx) => pauseSegment(trx, world.services, 'paused-marketing'));
    await db('consents').insert({
      ...(await db('consents').where({ subject_id: back }).first('subject_id', 'purpose', 'version', 'channel')),
      is_granted: false,
    });
    await db('personalisation_choices').insert({ subject_id: off, is_on: false, channel: 'website' });
    await agree(db, stays, 'profiling');
    await later(days(8));
    expect(await members('paused-marketing')).toEqual([stays]);
    expect(await log('paused-marketing', back)).toEqual(['entered by definition', 'exited by consent']);
    expect(await log('paused-marketing', off)).toEqual(['entered by definition', 'exited by personalisation']);
    expect(await sizeOf('paused-marketing')).toBe(1);
    expect(await db('outbox').where({ topic: 'segment.exited', subject_id: back })).toHaveLength(1);
    // Whoever agrees again has to be asked what they did: when it goes on.
    await agree(db, back, 'marketing');
    await settle();
    expect(await members('paused-marketing')).toEqual([stays]);
  });

  it('leaves no rows of a build that was given up, failed or was replaced', async () => {
    const sub = await addSubject(db);
    await create({ key: 'given-up', where: { event: 'coupon_seen' } });
    await settle();
    await edit('given-up', { where: { event: 'coupon_seen', count: { gte: 2 } } });
    await does(sub, 'coupon_seen');
    await world.round();
    await edit('given-up', { where: { event: 'coupon_seen', count: { gte: 3 } } });
    await does(sub, 'coupon_seen');
    await settle();
    const left = await db('segment_states as t')
      .join('segment_builds as b', 'b.id', 't.build_id')
      .whereNotIn('b.status', ['building', 'live'])
      .select('b.id', 'b.status');
    expect(left).toEqual([]);
    expect((await whatIsWaiting(db, world.clock.now())).builds).toBe(false);
  });

  it('writes nothing where the answer is the one that is kept', async () => {
    const sub = await addSubject(db);
    const of = (path: string) => ({ per: path, all: [{ event: 'compared' }] });
    await create({ key: 'compared', where: { all: [of('product_id'), of('sku')] } });
    await settle();
    const properties = { product_id: 'p', sku: 's' };
    await does(sub, 'compared', { properties });
    await settle();
    const row = () => db('segment_states').where({ subject_id: sub }).select(db.raw('xmin::text'), 'matched');
    const before = await row();
    await does(sub, 'compared', { properties });
    await settle();
    expect(await row()).toEqual(before);
  });

  it('is evaluated again when events that it can see are removed', async () => {
    const [old, young] = [await addSubject(db), await addSubject(db)];
    await create({ key: 'ever', where: { event: 'store_opened' } });
    await create({ key: 'lately', where: { event: 'store_opened', within: '30d' } });
    for (const sub of [old, young]) await does(sub, 'store_opened');
    await settle();
    await db('events').where({ subject_id: old, event: 'store_opened' }).delete();
    const last = await db('segment_builds').max('id as id').first();
    const until = new Date(world.clock.now().getTime() - days(40));
    await db.transaction((trx) => rebuildSeeing(trx, { clock: world.clock }, until));
    await settle();
    expect(await members('ever')).toEqual([young]);
    expect(await log('ever', old)).toEqual(['entered by definition', 'exited by definition']);
    const asked = await db('segment_builds as b')
      .join('segments as s', 's.id', 'b.segment_id')
      .where('b.id', '>', last?.id)
      .select('s.key');
    expect(asked.map(({ key }) => key)).not.toContain('lately');
  });

  it('is built while tags, traits and other segments change, and nobody waits in a circle', async () => {
    const keys = ['in-circle-a', 'in-circle-b'];
    for (const key of keys)
      await create({ key, where: { all: [{ tag: 'circle' }, { trait: 'rfm_recency', op: 'gte', value: 2 }] } });
    await create({ key: 'gives-the-tag', where: { event: 'page_viewed' } });
    await settle();
    // Whoever raises the revision holds it for a while.
    await db.raw(`
      create function linger() returns trigger language plpgsql as $$ begin perform pg_sleep(0.02); return new; end $$;
      create trigger lingers before update on segment_revision for each row execute function linger()`);
    const { services } = world;
    const rule = { tag: 'circle', segment: 'gives-the-tag', by: 'test' };
    for (let n = 0; n < 3; n++) {
      for (const key of keys) await edit(key, { where: { all: [{ tag: 'circle' }, { event: `e${n}` }] } });
      await Promise.all([
        build(),
        build(),
        db.transaction(async (trx) => {
          if (n % 2) await removeTagRule(trx, services, rule);
          else await addTagRule(trx, services, rule);
        }),
        db.transaction((trx) => changeRfm(trx, services, usualRfm, 'test')),
        db.transaction((trx) => pauseSegment(trx, services, 'in-circle-b')),
        db.transaction((trx) => resumeSegment(trx, services, 'in-circle-b')),
      ]);
    }
    await db.raw('drop trigger lingers on segment_revision');
    await settle();
  });

  it('is left by everybody when it is put away, and its log stays', async () => {
    const sub = await addSubject(db);
    await create({ key: 'over', where: { event: 'favorited' } });
    await settle();
    await does(sub, 'favorited');
    await settle();
    await db.transaction((trx) => archiveSegment(trx, world.services, 'over'));
    await settle();
    expect(await members('over')).toEqual([]);
    expect(await log('over', sub)).toEqual(['entered by event', 'exited by definition']);
    expect(await sizeOf('over')).toBe(0);
  });

  it('may be a list: who is put there is a member as far as they agree', async () => {
    const [yes, no] = [await addSubject(db), await addSubject(db)];
    await agree(db, yes, 'marketing');
    await db.transaction((trx) =>
      createList(trx, world.services, { kind: 'list', key: 'vip', name: 'VIP', purpose: 'marketing' }, 'test'),
    );
    await settle();
    await db.transaction((trx) => changeList(trx, world.services, 'vip', { add: [yes, no], remove: [], by: 'test' }));
    await settle();
    expect(await members('vip')).toEqual([yes]);
    await db.transaction((trx) => changeList(trx, world.services, 'vip', { add: [], remove: [yes], by: 'test' }));
    await settle();
    expect(await log('vip', yes)).toEqual(['entered by list', 'exited by list']);
  });

  it('that others look through keeps to its own purpose there too', async () => {
    const [yes, no] = [await addSubject(db), await addSubject(db)];
    await agree(db, yes, 'marketing');
    await db.transaction((trx) =>
      createList(trx, world.services, { kind: 'list', key: 'invited', name: 'Invited', purpose: 'marketing' }, 'test'),
    );
    await db.transaction((trx) =>
      changeList(trx, world.services, 'invited', { add: [yes, no], remove: [], by: 'test' }),
    );
    await create({ key: 'of-the-invited', where: { segment: 'invited' } });
    await settle();
    expect(await members('of-the-invited')).toEqual([yes]);
    await does(no, 'searched');
    await agree(db, no, 'marketing');
    await settle();
    expect(await members('of-the-invited')).toEqual([yes, no].sort());
  });
});
