/** Merging two people costs the same however much the two have done: events do not move. Undoing it likewise. */
import type { Database } from '../src/database.ts';
import { createSeal } from '../src/seal.ts';
import { mergeSubjects } from '../src/subjects/merge.ts';
import { resolveSubject } from '../src/subjects/resolve.ts';
import { undoMerge } from '../src/subjects/undo.ts';
import { withDatabase } from './database.ts';
import { type BenchResult, percentile } from './result.ts';

const few = 100;
const many = 100_000;
const rounds = 200;
const warmUp = 20;

const seal = createSeal('a secret for the bench, of more than 32 characters');
const jobs = { send: async () => {} };
const actor = { actor_kind: 'staff' as const, actor_id: 'bench' };

type Pair = { survivor: string; absorbed: string };
type Times = { merge: number[]; undo: number[] };

export async function run(): Promise<BenchResult[]> {
  return withDatabase(async ({ db }) => {
    const pairs = { few: await pair(db, 'few', few), many: await pair(db, 'many', many) };
    await db.raw('vacuum analyze');
    await db.raw('checkpoint');
    const times: Record<keyof typeof pairs, Times> = {
      few: { merge: [], undo: [] },
      many: { merge: [], undo: [] },
    };
    // In turn, so that a machine that slows down slows both.
    for (let round = -warmUp; round < rounds; round++) {
      for (const size of ['few', 'many'] as const)
        await thereAndBack(db, pairs[size], round < 0 ? undefined : times[size]);
    }
    return (['merge', 'undo'] as const).map((what) => {
      const figure = percentile(times.many[what], 0.5);
      const ceiling_figure = percentile(times.few[what], 0.5);
      return {
        promise: `${what}: two people with ${many.toLocaleString('en')} events each, median`,
        figure,
        unit: 'ms',
        ceiling: `the same with ${few} events each`,
        ceiling_figure,
        ratio: figure / ceiling_figure,
        target: '<= 1.5',
        details: {
          p99_ms: { many: percentile(times.many[what], 0.99), few: percentile(times.few[what], 0.99) },
          rounds,
        },
      };
    });
  });
}

async function thereAndBack(db: Database, sides: Pair, times: Times | undefined): Promise<void> {
  const started = performance.now();
  const { id } = await mergeSubjects({ db, seal, jobs }, { ...sides, reason: 'bench', basis: 'staff', actor });
  const merged = performance.now();
  await undoMerge({ db, seal, jobs }, { merge_id: id, reason: 'bench', actor });
  times?.merge.push(merged - started);
  times?.undo.push(performance.now() - merged);
}

/** Each with a WeChat identity, a phone, an e-mail and what they did. */
async function pair(db: Database, name: string, events: number): Promise<Pair> {
  const [survivor, absorbed] = [await person(db, `${name}1`, events), await person(db, `${name}2`, events)];
  return { survivor, absorbed };
}

let serial = 0;

async function person(db: Database, name: string, events: number): Promise<string> {
  const number = `+86138${String(++serial).padStart(8, '0')}`;
  const wechat = { kind: 'wechat_openid' as const, issuer: 'wxbench', external_id: `o${name}` };
  const { sub } = await resolveSubject(
    { db, seal, jobs },
    {
      proofs: [
        {
          connector: 'bench',
          identities: [wechat, { kind: 'wechat_unionid', issuer: 'bench', external_id: `u${name}` }],
        },
        { connector: 'bench', identities: [{ kind: 'phone', issuer: '', external_id: number }] },
      ],
      create: true,
      context: { channel: 'website' },
    },
  );
  await db.raw(
    `insert into events (id, received_at, "timestamp", subject_id, source_id, message_key, type, event, channel, trust)
     select uuid_v7(), now(), now() - n * interval '1 second', ?::uuid, 1, md5(? || n)::uuid, 'track', 'page_viewed', 'website', 'token'
       from generate_series(1, ?::int) n`,
    [sub, `${name} `, events],
  );
  await db.raw(
    `insert into profile_counts (subject_id, channel, event, counts, n, first_at, last_at)
     values (?, 'website', 'page_viewed', true, ?, now(), now())`,
    [sub, events],
  );
  return sub;
}
