/**
 * What trackers and programs send, with something wrong in it, for as long as one likes: no answer is 500 or above, nothing is said in the
 * log, memory stays where it was, and what is sent well meanwhile is stored (threats E4, E5, E6, F6, F7).
 *
 * FUZZ_SECONDS=600 goes on for ten minutes and weighs the memory; FUZZ_SEED=<n> draws other requests.
 */
import { Agent } from 'node:http';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { runningApp } from '../helpers/app.ts';
import { keptLog } from '../helpers/kept-log.ts';
import { randomOf } from '../subjects/history.ts';
import { complaintAbout, type Sent, senderTo } from './answers.ts';
import { attackerOf, basic, claimsOf, freshPhone } from './attacker.ts';
import { targets } from './fuzz.ts';
import { calm } from './mutate.ts';

const seconds = Number(process.env.FUZZ_SECONDS ?? 5);
const seed = Number(process.env.FUZZ_SEED ?? 20_261_126);
const lanes = 8;
/** A good event of each kind after so many others. */
const goodEvery = 100;

const { lines, destination: logTo } = keptLog();
const { config, db } = await runningApp({ LOG_LEVEL: 'error' }, { logTo });
const attacker = attackerOf(config);
const agent = new Agent({ keepAlive: true, maxSockets: lanes });
afterAll(() => agent.destroy());
const send = senderTo(config.port, agent);

const keys = { client: 'demo-client-key', server: 'demo-server-key' };
const { body: tokens } = await attacker.redeem(await attacker.signIn('sms', freshPhone()));
const sub = String(claimsOf(tokens.id_token).sub);
let machine = await attacker.machineToken();
const all = targets({ ...keys, machine: () => machine, sub });
const clean = Object.getOwnPropertyNames(Object.prototype);

/** As unmodified trackers send them. */
const good: ((event: string) => Sent)[] = [
  (event) => ({
    method: 'POST',
    path: '/v1/batch',
    headers: { ...basic(keys.server, ''), 'content-type': 'application/json', 'content-encoding': 'gzip' },
    body: gzipSync(JSON.stringify({ batch: [{ type: 'track', event, messageId: `${event}-1`, anonymousId: 'good' }] })),
  }),
  (event) => {
    const record = { type: 'track', event, time: Date.now(), distinct_id: 'good', properties: {}, lib: {} };
    const data = Buffer.from(JSON.stringify(record)).toString('base64');
    const headers = { 'content-type': 'text/plain' };
    return { method: 'POST', path: `/sa?token=${keys.client}`, headers, body: String(new URLSearchParams({ data })) };
  },
  (event) => ({
    method: 'POST',
    path: `/v3/projects/${keys.client}/collect?stm=${Date.now()}&compress=0`,
    body: JSON.stringify([{ eventType: 'CUSTOM', eventName: event, deviceId: 'good', timestamp: Date.now() }]),
  }),
];

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
/** What is held, in bytes: the heap and the buffers beside it; and what the system has given the process. */
function memory() {
  collect();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { held: heapUsed + external, rss };
}

describe(`requests drawn from the seed ${seed} for ${seconds} s`, () => {
  const answered = new Map<string, { well: number; refused: number }>();
  const complaints: string[] = [];
  let rounds = 0;
  let goods = 0;
  let warm: ReturnType<typeof memory> | undefined;
  let atEnd: ReturnType<typeof memory> | undefined;

  const say = async (name: string, request: Sent): Promise<void> => {
    const told = `${name}: ${request.method ?? 'GET'} ${request.path.slice(0, 300)} ${JSON.stringify(request.headers ?? {}).slice(0, 200)}`;
    const answer = await send(request).catch((error: unknown) => String(error));
    const count = answered.get(name) ?? { well: 0, refused: 0 };
    answered.set(name, count);
    if (typeof answer === 'string') {
      // What is beyond the limit is answered before it was read, and the connection closed under it; a head has 16 KB.
      const head = request.path.length + JSON.stringify(request.headers ?? {}).length;
      const isLarge = ((request.body?.length ?? 0) > 100_000 || head > 16_000) && /ECONNRESET|EPIPE/.test(answer);
      if (!isLarge) complaints.push(`${told} → no answer: ${answer}`);
      return;
    }
    count[answer.status < 400 ? 'well' : 'refused'] += 1;
    const complaint = complaintAbout(answer);
    if (complaint) complaints.push(`${told} ${request.body?.toString('utf8').slice(0, 2_000)} → ${complaint}`);
  };

  it('would be taken by every route if nothing were wrong with them', async () => {
    const refused = [];
    for (const { name, draw } of all) {
      const { status, text } = await send(draw(calm));
      if (status >= 400) refused.push(`${name}: ${status} ${text}`);
    }
    expect(refused).toEqual([]);
  });

  it('are each answered or refused, and nothing goes wrong inside', {
    timeout: seconds * 1_000 + 120_000,
  }, async () => {
    const random = randomOf(seed);
    const startedAt = performance.now();
    const passed = () => (performance.now() - startedAt) / 1_000;
    const lane = async () => {
      while (passed() < seconds && complaints.length < 20) {
        const round = rounds++;
        const target = all[round % all.length];
        if (target) await say(target.name, target.draw(random));
        if (round % goodEvery === 0) {
          const event = `fuzz_good_${goods++}`;
          for (const make of good) await say('good', make(event));
        }
        if (round % 2_000 === 1_999) machine = await attacker.machineToken();
        if (!warm && passed() > seconds / 4) warm = memory();
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    atEnd = memory();
    expect(complaints).toEqual([]);
    expect(lines).toEqual([]);
    expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(clean);
  });

  it('took nothing from what was sent well: all of it is stored, once', async () => {
    expect(rounds).toBeGreaterThan(all.length);
    expect(answered.get('good')).toEqual({ well: goods * good.length, refused: 0 });
    const { rows } = await db.raw(
      "select event, count(*)::int as n from recorded_events where starts_with(event, 'fuzz_good_') group by 1",
    );
    expect(new Set(rows.map(({ n }: { n: number }) => n))).toEqual(new Set([good.length]));
    expect(rows).toHaveLength(goods);
  });

  it.runIf(seconds >= 60)(
    'cost no memory: what is held at the end is within a tenth of what was held after a quarter',
    () => {
      const mb = (bytes = 0) => Math.round(bytes / 1e6);
      console.log(
        `${rounds} requests; held ${mb(warm?.held)} → ${mb(atEnd?.held)} MB, rss ${mb(warm?.rss)} → ${mb(atEnd?.rss)} MB`,
      );
      expect(atEnd?.held).toBeLessThan((warm?.held ?? 0) * 1.1);
      expect(atEnd?.rss).toBeLessThan((warm?.rss ?? 0) * 1.1);
    },
  );
});
