/** A known person is found as fast among a million as among ten thousand. */
import { createHash } from 'node:crypto';

import type { Database } from '../src/database.ts';
import { createSeal } from '../src/seal.ts';
import { resolveSubject } from '../src/subjects/resolve.ts';
import { withDatabase } from './database.ts';
import { type BenchResult, percentile } from './result.ts';

const small = 10_000;
const large = 1_000_000;
const lookups = 5_000;

export async function run(): Promise<BenchResult[]> {
  return withDatabase(async ({ db }) => {
    await fill(db, 1, small);
    const atSmall = await measure(db, small);
    await fill(db, small + 1, large);
    const atLarge = await measure(db, large);
    const [figure, ceiling_figure] = [percentile(atLarge, 0.99), percentile(atSmall, 0.99)];
    return [
      {
        promise: 'resolve: p99 among 1 million subjects',
        figure,
        unit: 'ms',
        ceiling: 'the same among 10 thousand',
        ceiling_figure,
        ratio: figure / ceiling_figure,
        target: '<= 1.5',
        details: { p50_ms: { large: percentile(atLarge, 0.5), small: percentile(atSmall, 0.5) }, lookups },
      },
    ];
  });
}

/** Each person has a WeChat openid and unionid; md5 scatters them over the index as real ones are. */
async function fill(db: Database, from: number, to: number): Promise<void> {
  await db.raw(
    `with people as (
       insert into subjects (id, last_sign_in_at) select md5('s' || n)::uuid, now() from generate_series(?::int, ?::int) n returning id
     )
     select count(*) from people`,
    [from, to],
  );
  for (const [kind, issuer, prefix] of [
    ['wechat_openid', 'wxbench', 'o'],
    ['wechat_unionid', 'bench', 'u'],
  ]) {
    await db.raw(
      `insert into identities (subject_id, kind, issuer, lookup, verified_at, last_used_at)
       select md5('s' || n)::uuid, ?, ?, ? || md5(n::text), now(), now() + interval '1 day' from generate_series(?::int, ?::int) n`,
      [kind ?? '', issuer ?? '', prefix ?? '', from, to],
    );
  }
  await db.raw('vacuum analyze subjects, identities');
  // What the fill left to be written would otherwise be written while look-ups are timed.
  await db.raw('checkpoint');
}

/** Sequential look-ups of people drawn evenly; the first thousand warm the connection, the plan and the cache. */
async function measure(db: Database, people: number): Promise<number[]> {
  const seal = createSeal('a secret for the bench, of more than 32 characters');
  const md5 = (text: string) => createHash('md5').update(text).digest('hex');
  const times: number[] = [];
  for (let i = 0; i < lookups + 1000; i++) {
    const n = 1 + ((i * 7_919) % people);
    const proof = {
      connector: 'bench',
      identities: [
        { kind: 'wechat_openid' as const, issuer: 'wxbench', external_id: `o${md5(String(n))}` },
        { kind: 'wechat_unionid' as const, issuer: 'bench', external_id: `u${md5(String(n))}` },
      ],
    };
    const started = performance.now();
    const { created } = await resolveSubject(
      { db, seal, jobs: { send: async () => {} } },
      { proofs: [proof], create: false, context: { channel: 'miniprogram' } },
    );
    if (created) throw new Error('the bench met a stranger');
    if (i >= 1000) times.push(performance.now() - started);
  }
  return times;
}
