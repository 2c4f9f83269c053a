/** The queue of the mini-program SDK: nothing is lost on the way to Heyi, nothing stored twice, each event under who did it. */
import { describe, expect, test } from 'vitest';
import { sentEvents, someone, startWorld, timelineOf } from './mini-program.ts';

const world = await startWorld();
const named = (events: { event?: string; name?: string }[]) => events.map(({ event, name }) => event ?? name);
const products = (events: { properties: Record<string, unknown> }[]) =>
  events.map(({ properties }) => properties.product_id).filter(Boolean);

describe.concurrent('a bad line', () => {
  test.each([
    ['503', (line: Line) => line.answer('/v1/batch', 503)],
    ['a proxy’s 502 page', (line: Line) => line.answer('/v1/batch', 502, { body: '<html>' })],
    ['429', (line: Line) => line.answer('/v1/batch', 429)],
    ['a stranger’s 200', (line: Line) => line.answer('/v1/batch', 200, { body: '<html>sign in to this Wi-Fi</html>' })],
    ['401 of a key that is being changed', (line: Line) => line.answer('/v1/batch', 401, { times: 2 })],
    ['a lost answer', (line: Line) => line.lose('/v1/batch')],
  ])('%s loses no event and stores none twice', async (_name, spoil) => {
    const { launch, phone, waiting } = await someone(world);
    const { heyi } = launch();
    const { sub } = await heyi.signIn();
    for (const product_id of ['a', 'b', 'c']) heyi.track('product_viewed', { product_id });
    spoil(phone.line);
    await heyi.flush();
    expect(products(waiting().map(({ event }) => event))).toEqual(['a', 'b', 'c']);
    await heyi.flush();
    expect(waiting()).toEqual([]);
    expect(products(await timelineOf(world, sub))).toEqual(['a', 'b', 'c']);
  });

  test('Retry-After is kept to, whatever asks for a flush meanwhile', async () => {
    const { launch, phone } = await someone(world);
    const running = launch();
    phone.line.answer('/v1/batch', 429, { headers: { 'retry-after': '120' } });
    running.heyi.track('product_viewed');
    await running.heyi.flush();
    await running.heyi.flush();
    running.hide();
    running.show();
    await running.heyi.flush();
    expect(phone.line.sentTo('/v1/batch')).toHaveLength(1);
    running.kill();
  });

  test('events survive the end of the process, and go at the next launch in their order', async () => {
    const { launch, phone, waiting } = await someone(world);
    phone.line.isOffline = true;
    for (const product_id of ['1', '2', '3']) {
      const running = launch();
      running.heyi.track('product_viewed', { product_id });
      await running.heyi.flush();
      running.kill();
    }
    expect(products(waiting().map(({ event }) => event))).toEqual(['1', '2', '3']);
    phone.line.isOffline = false;
    await launch().heyi.flush();
    expect(products(sentEvents(phone))).toEqual(['1', '2', '3']);
    expect(waiting()).toEqual([]);
  });

  test('after a while of 503 and 429 it comes by itself, later each time', async ({ expect }) => {
    const { launch, phone, waiting } = await someone(world);
    const { heyi } = launch();
    phone.line.answer('/v1/batch', 503);
    phone.line.answer('/v1/batch', 429, { headers: { 'Retry-After': '1' } });
    heyi.track('product_viewed', { product_id: 'patient' });
    await expect.poll(() => products(sentEvents(phone)), { interval: 20, timeout: 12_000 }).toEqual(['patient']);
    expect(phone.line.sentTo('/v1/batch').map(({ status }) => status)).toEqual([503, 429, 200]);
    expect(waiting()).toEqual([]);
  });

  test('a line that is back is used at once', async ({ expect }) => {
    const { launch, phone } = await someone(world);
    const running = launch();
    running.networkChanges(false);
    running.heyi.track('product_viewed', { product_id: 'offline' });
    await running.heyi.flush();
    running.networkChanges(true);
    await expect.poll(() => products(sentEvents(phone)), { interval: 5 }).toEqual(['offline']);
  });

  test('a batch that is refused is halved until it passes; an event that is refused does not hold the others up', async () => {
    const { launch, phone, waiting } = await someone(world);
    const { heyi, logs } = launch();
    heyi.track('product_viewed', { product_id: 'a' });
    heyi.track('form_submitted', Object.fromEntries(Array.from({ length: 2100 }, (_, i) => [`k${i}`, 1])));
    heyi.track('product_viewed', { product_id: 'b' });
    phone.line.answer('/v1/batch', 413);
    await heyi.flush();
    expect(products(sentEvents(phone))).toEqual(['a', 'b']);
    expect(waiting()).toEqual([]);
    expect(logs.flat().join()).toContain('was refused');
  });
});
type Line = Awaited<ReturnType<typeof someone>>['phone']['line'];

describe.concurrent('the background', () => {
  test('leaving sends what waits; cut after five seconds it is sent again, and stored once', async ({ expect }) => {
    const { launch, phone, waiting } = await someone(world);
    const running = launch();
    const { sub } = await running.heyi.signIn();
    running.heyi.track('product_viewed', { product_id: 'x' });
    phone.line.lose('/v1/batch', 1, 'silence');
    running.hide();
    await expect.poll(() => phone.line.sentTo('/v1/batch').at(-1)?.status, { interval: 5 }).toBe(0);
    running.suspend();
    expect(products(waiting().map(({ event }) => event))).toEqual(['x']);
    running.show();
    // The first is the one that was cut.
    await running.heyi.flush();
    await running.heyi.flush();
    expect(waiting()).toEqual([]);
    expect(products(await timelineOf(world, sub))).toEqual(['x']);
  });

  test('no token is renewed there, where a cut could cost the sign-in: its events wait for the return', async () => {
    const { launch, phone, waiting, change } = await someone(world);
    await launch().heyi.signIn();
    change('heyi.session', { expires_at: 0 });
    const running = launch();
    phone.line.sent.length = 0;
    running.heyi.track('product_viewed');
    running.hide();
    await running.heyi.flush();
    expect(phone.line.sent).toEqual([]);
    running.show();
    await running.heyi.flush();
    expect(waiting()).toEqual([]);
    expect(phone.line.sentTo('/token')).toHaveLength(1);
  });
});

test('F4: what A did goes to A and what B does to B, though A left before it could be sent', async () => {
  const { launch, phone, waiting } = await someone(world);
  const b = await someone(world);
  const running = launch();
  const { heyi } = running;
  const first = await heyi.signIn({ consents: ['privacy@1', 'profiling@1'] });
  running.networkChanges(false);
  heyi.track('product_viewed', { product_id: 'of A' });
  await heyi.signOut();
  phone.line.answer('/v1/batch', 503, { times: 9 });
  running.networkChanges(true);
  heyi.track('product_viewed', { product_id: 'of nobody' });
  const { otp_id } = await heyi.sendCode({ to: b.number });
  const code = await world.codeFor(b.number);
  const second = await heyi.signInByCode({ otpId: otp_id, code, linkWechat: false });
  heyi.track('product_viewed', { product_id: 'of B' });
  expect(waiting().map(({ sub }) => sub)).toEqual([first.sub, undefined, second.sub]);
  phone.line.heal();
  await heyi.flush();
  expect(second.sub).not.toBe(first.sub);
  expect(products(await timelineOf(world, first.sub))).toEqual(['of A']);
  expect(products(await timelineOf(world, second.sub))).toEqual(['of B']);
  const consents = sentEvents(phone).map(({ properties, context }) => [properties.product_id, context.consent]);
  const stamp = (profiling: boolean) => ({ categoryPreferences: { profiling, marketing: false, service: true } });
  expect(consents.filter(([id]) => id)).toEqual([
    ['of A', stamp(true)],
    ['of nobody', stamp(false)],
    ['of B', stamp(false)],
  ]);
});

describe('room', () => {
  test('the queue keeps to its bytes, and the oldest give way', async () => {
    const { launch, phone, waiting } = await someone(world);
    phone.line.isOffline = true;
    const running = launch({}, { queueBytes: 100 * 1024 });
    await running.heyi.flush();
    for (let i = 0; i < 200; i++)
      running.heyi.track('product_viewed', { product_id: String(i), note: '茶'.repeat(300) });
    const size = () => [...phone.storage].reduce((sum, [key, text]) => sum + Buffer.byteLength(key + text), 0);
    expect(size()).toBeLessThan(105 * 1024);
    expect(size()).toBeGreaterThan(70 * 1024);
    running.kill();
    phone.line.isOffline = false;
    const kept = products(waiting().map(({ event }) => event));
    await launch().heyi.flush();
    const sent = products(sentEvents(phone));
    expect(sent.at(-1)).toBe('199');
    expect(sent).toEqual(kept);
  });

  test('an event costs a write of a small piece, however many wait', async () => {
    const { launch, phone } = await someone(world);
    phone.line.isOffline = true;
    const { heyi } = launch();
    await heyi.flush();
    for (let i = 0; i < 500; i++) heyi.track('product_viewed', { product_id: String(i) });
    const largest = Math.max(...[...phone.storage.values()].map((text) => Buffer.byteLength(text)));
    expect(largest).toBeLessThan(32 * 1024);
  });

  test('a storage that is full, and properties that are no data, stop nothing', async () => {
    const { launch, phone } = await someone(world);
    const { heyi, wx, errors } = launch();
    await heyi.flush();
    for (let i = 0; i < 10; i++) wx.setStorageSync(`other.${i}`, 'x'.repeat(1024 * 1020));
    wx.setStorageSync('rest', 'x'.repeat(10 * 1024 * 1024 - wx.getStorageInfoSync().currentSize * 1024));
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    heyi.track('form_submitted', circular);
    heyi.track('form_submitted', { text: 'x'.repeat(40_000) });
    heyi.track('product_viewed', { product_id: 'in memory' });
    await heyi.flush();
    expect(errors).toEqual([]);
    expect(products(sentEvents(phone))).toEqual(['in memory']);
    expect(named(sentEvents(phone))).not.toContain('form_submitted');
  });
});
