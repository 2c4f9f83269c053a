/** A million people for bench/search.ts, by bulk; a few hundred of them in full, so that a look-up has something to decrypt and to show. */
import { createHash } from 'node:crypto';
import type { Identity } from '../src/connectors/contract.ts';
import type { Database } from '../src/database.ts';
import { sealContext } from '../src/oidc/adapter.ts';
import type { Seal } from '../src/seal.ts';
import { keyOf, sealExternalId } from '../src/subjects/identity-key.ts';

const sample = 500;
const step = 1_999;

/** The numbers of those who are there in full, spread over all. */
const numberOf = (n: number) => 1 + (n % sample) * step;
const md5 = (text: string) => createHash('md5').update(text).digest('hex');
const uuidOf = (text: string) => md5(text).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

export type Known = ReturnType<typeof known>;

/** One by one through the sample: everything that somebody could have in hand. */
export function known(n: number) {
  const number = numberOf(n);
  return {
    sub: uuidOf(`s${number}`),
    absorbed_sub: uuidOf(`a${number}`),
    phone: `+86138${String(number).padStart(8, '0')}`,
    email: `person${number}@example.com`,
    openid: `o${md5(String(number))}`,
    unionid: `u${md5(String(number))}`,
    oidc: `x${md5(String(number))}`,
    member_no: `m${number}`,
  };
}

export async function fillPeople(db: Database, seal: Seal, people: number): Promise<void> {
  await db.raw(
    `insert into subjects (id, last_sign_in_at) select md5('s' || n)::uuid, now() from generate_series(1, ?::int) n`,
    [people],
  );
  // Phone and e-mail look like what a keyed hash looks like; those of the sample are made real below.
  for (const [kind, issuer, prefix] of [
    ['wechat_openid', 'wxbench', 'o'],
    ['wechat_unionid', 'bench', 'u'],
    ['phone', '', 'p'],
    ['email', '', 'e'],
  ] as const) {
    await db.raw(
      `insert into identities (subject_id, kind, issuer, lookup, verified_at, last_used_at)
       select md5('s' || n)::uuid, ?, ?, ? || md5(n::text), now(), now() from generate_series(1, ?::int) n`,
      [kind, issuer, prefix, people],
    );
  }
  await fillRecords(db, people);
  for (let n = 0; n < sample; n++) await fillOne(db, seal, n);
  await db.raw('vacuum analyze');
  await db.raw('checkpoint');
}

/** One consent, one audit entry and one device a person (two share one), a case for every tenth. */
async function fillRecords(db: Database, people: number): Promise<void> {
  const each = `from generate_series(1, ?::int) n`;
  await db.raw(
    `insert into consents (subject_id, purpose, version, is_granted, channel) select md5('s' || n)::uuid, 'profiling', '1', true, 'website' ${each}`,
    [people],
  );
  await db.raw(
    `insert into audit_entries (action, actor_kind, subject_id) select 'subject.created', 'person', md5('s' || n)::uuid ${each}`,
    [people],
  );
  await db.raw(
    `insert into known_devices (subject_id, device_hash) select md5('s' || n)::uuid, md5('d' || n / 2) ${each}`,
    [people],
  );
  await db.raw(
    `insert into link_cases (status, reason, subject_id, other_subject_id, identity_kind, identity_issuer, identity_lookup, last_seen_at)
     select case when n % 20 = 1 then 'open' else 'dismissed' end, 'bench', md5('s' || n)::uuid, md5('s' || n + 1)::uuid, 'phone', '', 'p',
            now() - n * interval '1 second'
       from generate_series(1, ?::int, 10) n`,
    [people - 1],
  );
}

/** Real identities, a merge with one who is absorbed, three hundred events, sessions, grants and a case. */
async function fillOne(db: Database, seal: Seal, n: number): Promise<void> {
  const one = known(n);
  const number = numberOf(n);
  const phone: Identity = { kind: 'phone', issuer: '', external_id: one.phone };
  const email: Identity = { kind: 'email', issuer: '', external_id: one.email };
  for (const [identity, prefix] of [
    [phone, 'p'],
    [email, 'e'],
  ] as const) {
    const { kind, lookup } = keyOf(seal, identity);
    const stored = { kind, issuer: '', lookup: `${prefix}${md5(String(number))}` };
    await db('identities')
      .where(stored)
      .update({ lookup, sealed: sealExternalId(seal, identity) });
  }
  const others: Identity[] = [
    { kind: 'oidc', issuer: 'https://login.example.com', external_id: one.oidc },
    { kind: 'member_no', issuer: 'shop', external_id: one.member_no },
  ];
  const at = { verified_at: db.fn.now(), last_used_at: db.fn.now() };
  await db('identities').insert(others.map((identity) => ({ ...keyOf(seal, identity), ...at, subject_id: one.sub })));
  await absorb(db, one);
  await db.raw(
    `insert into events (id, received_at, "timestamp", subject_id, source_id, message_key, type, event, channel, trust)
     select uuid_v7(), now(), now() - n * interval '1 minute', case when n % 3 = 0 then ?::uuid else ?::uuid end, 1, md5(? || n)::uuid, 'track',
            'page_viewed', 'website', 'token'
       from generate_series(1, 300) n`,
    [one.absorbed_sub, one.sub, `${one.sub} `],
  );
  await signInto(db, seal, one.sub);
}

async function absorb(db: Database, { sub, absorbed_sub }: Known): Promise<void> {
  await db('subjects').insert({ id: absorbed_sub, status: 'absorbed' });
  const merge = { survivor_id: sub, absorbed_id: absorbed_sub, basis: 'staff', reason: 'bench', actor_kind: 'staff' };
  const [{ id: merge_id }] = await db('merges').insert(merge).returning('id');
  await db('subject_aliases').insert({ absorbed_id: absorbed_sub, survivor_id: sub, merge_id });
  const asked = {
    identity_kind: 'phone',
    identity_issuer: '',
    identity_lookup: 'p',
    reason: 'bench',
    status: 'merged',
  };
  await db('link_cases').insert({ ...asked, subject_id: sub, other_subject_id: absorbed_sub });
}

async function signInto(db: Database, seal: Seal, subject_id: string): Promise<void> {
  const expires_at = new Date(Date.now() + 86_400_000);
  for (let n = 0; n < 3; n++) {
    const id = md5(`${subject_id} ${n}`);
    const payload = seal.seal(JSON.stringify({ openid: { scope: 'openid profile' } }), sealContext('Grant', id));
    const row = { payload_sealed: payload, expires_at, client_id: 'website', subject_id };
    await db('oidc_artifacts').insert([
      { ...row, model: 'Grant', id },
      { ...row, model: 'Session', id, uid: id },
      { ...row, model: 'RefreshToken', id, grant_id: id, subject_id: null },
    ]);
  }
}
