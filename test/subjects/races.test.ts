/** What else happens at the moment of a merge, in this process, in another, over HTTP; and a process that dies in the middle of it. */
import { decodeJwt } from 'jose';
import { describe, expect, it } from 'vitest';
import type { Proof } from '../../src/connectors/contract.ts';
import { timeline } from '../../src/events/timeline.ts';
import { keyOf } from '../../src/subjects/identity-key.ts';
import { currentSubject } from '../../src/subjects/subjects.ts';
import { testDatabase } from '../helpers/database.ts';
import {
  basic,
  createBrowser,
  createOutside,
  newCode,
  type Person,
  password,
  post,
  startWorld,
  wechatProof,
} from '../oidc/world.ts';
import { faultsIn, readGraph } from './graph.ts';
import { type Outcome, type Step, seal, take } from './history-step.ts';
import { email, openid, phone, proof, unionid } from './people.ts';
import { secondProcess } from './second-process.ts';

const { db, url } = await testDatabase();
const second = await secondProcess(url);
const outside = createOutside();
const world = await startWorld({ db, outside });
const callback = 'https://app.example/callback';
const exchange = 'urn:ietf:params:oauth:grant-type:token-exchange';
await world.register({ client_id: 'web', name: 'web', redirect_uris: [callback], client_secret: password });
await world.register({
  client_id: 'mini',
  name: 'mini',
  appid: 'wxtest',
  token_endpoint_auth_method: 'none',
  grant_types: [exchange, 'refresh_token'],
});

type Made = { id: string };

/** What it answered; whatever broke (a deadlock that nobody tried again, a constraint) fails the test. */
async function outcomeOf(step: Step, here = true): Promise<Outcome> {
  const outcome = await (here ? take(db, step) : second.take(step));
  if ('broke' in outcome) throw new Error(`${step.does}: ${outcome.broke}`);
  return outcome;
}

async function done<T>(step: Step, here = true): Promise<T> {
  const outcome = await outcomeOf(step, here);
  if (!('done' in outcome)) throw new Error(`${step.does} was refused: ${JSON.stringify(outcome)}`);
  return outcome.done as T;
}

const signIn = (...proofs: [Proof, ...Proof[]]): Step => ({
  does: 'sign in',
  channel: 'website',
  proofs,
});
const merging = (survivor: string, absorbed: string, keep: string[] = []): Step => ({
  does: 'merge',
  survivor,
  absorbed,
  keep,
});
const somebody = async (first: Proof = proof(phone()), ...others: Proof[]) =>
  (await done<{ sub: string }>(signIn(first, ...others))).sub;
const rootOf = async (sub: string) => (await currentSubject(db, sub))?.sub;
const refusalOf = (outcome: Outcome) => ('refused' in outcome ? outcome.refused : undefined);

/** Every rule of the graph, for all that this file has done. */
async function assertSound(): Promise<void> {
  expect(faultsIn(await readGraph(db), new Map())).toEqual([]);
}

describe('D12: a merge while the absorbed person', () => {
  const rounds = Array.from({ length: 6 }, (_, n) => n);

  async function signedIn(sub: string): Promise<Record<'refresh_token' | 'access_token', string>> {
    const request = { client_id: 'web', redirect_uri: callback, scope: 'openid offline_access' };
    const { fields } = await newCode(world, sub, request, createBrowser(world.base));
    const { body } = await post(`${world.base}/token`, fields, basic('web'));
    return { refresh_token: String(body.refresh_token), access_token: String(body.access_token) };
  }
  const refresh = (refresh_token: string, client_id = 'web') =>
    post(
      `${world.base}/token`,
      { grant_type: 'refresh_token', refresh_token, client_id },
      client_id === 'web' ? basic('web') : {},
    );
  const userinfo = async (access_token: unknown) =>
    (await fetch(`${world.base}/userinfo`, { headers: { authorization: `Bearer ${access_token}` } })).status;

  it('refreshes: no token of the absorbed sub works afterwards, and the survivor’s do', async () => {
    for (const round of rounds) {
      const [stays, goes] = [await somebody(), await somebody()];
      const [ofStays, ofGoes] = [await signedIn(stays), await signedIn(goes)];
      const [, raced] = await Promise.all([done(merging(stays, goes), round % 2 > 0), refresh(ofGoes.refresh_token)]);
      expect([200, 400]).toContain(raced.status);
      for (const token of [ofGoes.refresh_token, raced.body.refresh_token].filter(Boolean))
        expect(await refresh(String(token))).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
      for (const token of [ofGoes.access_token, raced.body.access_token].filter(Boolean))
        expect(await userinfo(token)).toBe(401);
      expect((await refresh(ofStays.refresh_token)).status).toBe(200);
    }
    await assertSound();
  });

  it('signs in by mini-program: the tokens are the survivor’s or work no more, and nothing is an error page', async () => {
    for (const round of rounds) {
      const person: Person = { openid: `race-${round}` };
      const goes = await somebody(wechatProof('wxtest', person));
      const stays = await somebody();
      const code = outside.loginCode(person);
      const [, answer] = await Promise.all([
        done(merging(stays, goes), round % 2 > 0),
        post(`${world.base}/token`, {
          grant_type: exchange,
          client_id: 'mini',
          subject_token: code,
          subject_token_type: 'urn:heyi:token-type:wechat-login-code',
          scope: 'openid offline_access',
        }),
      ]);
      expect([200, 400]).toContain(answer.status);
      if (answer.status !== 200) continue;
      const { sub } = decodeJwt(String(answer.body.id_token));
      expect([stays, goes]).toContain(sub);
      expect(await userinfo(answer.body.access_token)).toBe(sub === stays ? 200 : 401);
      const again = await refresh(String(answer.body.refresh_token), 'mini');
      expect(again).toMatchObject(sub === stays ? { status: 200 } : { status: 400, body: { error: 'invalid_grant' } });
    }
    await assertSound();
  });

  it('links an e-mail, is signed in elsewhere, and an event arrives: all of it is the survivor’s', async () => {
    for (const round of rounds) {
      const [ofStays, ofGoes] = [phone(), phone()];
      const [stays, goes] = [await somebody(proof(ofStays)), await somebody(proof(ofGoes))];
      const address = email();
      const message_id = crypto.randomUUID();
      const here = round % 2 > 0;
      const [, linked, again] = await Promise.all([
        done(merging(stays, goes), here),
        outcomeOf({ does: 'link', sub: goes, proof: proof(address), replace: false }, !here),
        done<{ sub: string }>(signIn(proof(ofGoes)), !here),
        done({ does: 'event', sub: goes, message_id }, here),
        outcomeOf({ does: 'link', sub: stays, proof: proof(unionid()), replace: false }, !here),
      ]);
      expect(await rootOf(again.sub)).toBe(stays);
      const kept = await db('identities').where(withKey(address)).first();
      if ('done' in linked) expect(kept?.subject_id).toBe(stays);
      else expect([refusalOf(linked), kept]).toEqual(['not_found', undefined]);
      const { data } = await timeline(db, stays);
      expect(data.map(({ id, recorded_sub }) => [id, recorded_sub])).toEqual([[message_id, goes]]);
    }
    await assertSound();
  });

  it('D10: takes away both ways in at the same moment in two processes: one stays', async () => {
    for (const _ of rounds) {
      const sub = await somebody(proof(openid()), proof(phone()));
      const held = await db('identities').where({ subject_id: sub });
      const answers = await Promise.all(
        held.map(({ id }, at) => outcomeOf({ does: 'unlink', sub, identity_id: id }, at > 0)),
      );
      expect(answers.filter((answer) => 'done' in answer)).toHaveLength(1);
      expect(answers.map(refusalOf)).toContain('last_identity');
    }
  });
});

function withKey(identity: ReturnType<typeof phone>) {
  const { kind, issuer, lookup } = keyOf(seal, identity);
  return { kind, issuer, lookup };
}

describe('D13: merges on top of each other', () => {
  it('A into B and B into C: both resolve to C, whichever comes first', async () => {
    const [a, b, c] = [await somebody(), await somebody(), await somebody()];
    await done(merging(b, a));
    await done(merging(c, b));
    expect([await rootOf(a), await rootOf(b), await rootOf(c)]).toEqual([c, c, c]);
    await assertSound();
  });

  it('in two processes at the same moment, a chain is a chain or half of it is refused', async () => {
    for (let round = 0; round < 6; round++) {
      const [a, b, c] = [await somebody(), await somebody(), await somebody()];
      const [, second] = await Promise.all([outcomeOf(merging(c, b), true), outcomeOf(merging(b, a), false)]);
      // B was gone already: merging into somebody who is not there is refused, and A is untouched.
      expect(await rootOf(b)).toBe(c);
      expect(await rootOf(a)).toBe('done' in second ? c : a);
      expect([undefined, 'merge_refused']).toContain(refusalOf(second));
    }
    await assertSound();
  });

  it('a cycle is refused, also when both halves come at the same moment', async () => {
    const [a, b] = [await somebody(), await somebody()];
    await done(merging(b, a));
    expect(refusalOf(await outcomeOf(merging(a, b)))).toBe('merge_refused');
    for (let round = 0; round < 6; round++) {
      const [c, d] = [await somebody(), await somebody()];
      const both = await Promise.all([outcomeOf(merging(c, d), true), outcomeOf(merging(d, c), false)]);
      expect(both.filter((outcome) => 'done' in outcome)).toHaveLength(1);
      expect(both.map(refusalOf)).toContain('merge_refused');
      expect(await rootOf(c)).toBe(await rootOf(d));
    }
    await assertSound();
  });

  it.each([
    ['with itself', async (sub: string) => sub],
    [
      'with one who was deleted',
      async () => {
        const gone = await somebody();
        await db('subjects').where({ id: gone }).update({ status: 'deleted' });
        return gone;
      },
    ],
    [
      'with one who is suspended',
      async () => {
        const suspended = await somebody();
        await done({ does: 'suspend', sub: suspended });
        return suspended;
      },
    ],
    ['with a sub that was never issued', async () => crypto.randomUUID()],
  ])('a merge %s is refused both ways round, and changes nothing', async (_title, make) => {
    const sub = await somebody();
    const other = await make(sub);
    const before = await db('merges').count('* as n').first();
    for (const step of [merging(sub, other), merging(other, sub)])
      expect(refusalOf(await outcomeOf(step))).toBe('merge_refused');
    expect(await db('merges').count('* as n').first()).toEqual(before);
    expect(await rootOf(sub)).toBe(sub);
    // The graph of this file is looked at as a whole: nobody in it was deleted.
    await db('subjects').where({ id: other, status: 'deleted' }).update({ status: 'active' });
  });
});

describe('D16: the same merge, twenty times at once over two processes', () => {
  it('is one merge and one answer', async () => {
    const [survivor, absorbed] = [await somebody(), await somebody()];
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => done<Made>(merging(survivor, absorbed), n % 2 > 0)),
    );
    const [first] = answers;
    for (const answer of answers) expect(JSON.stringify(answer)).toBe(JSON.stringify(first));
    expect(await db('merges').where({ absorbed_id: absorbed })).toHaveLength(1);
    const undos = await Promise.all(
      Array.from({ length: 20 }, (_, n) => done<Made>({ does: 'undo', merge_id: first?.id ?? '' }, n % 2 > 0)),
    );
    expect(new Set(undos.map((undo) => JSON.stringify(undo))).size).toBe(1);
    expect(await rootOf(absorbed)).toBe(absorbed);
    await assertSound();
  });
});

describe('D11: both sides have a phone and an openid of one app', () => {
  async function sides() {
    const make = () => somebody(proof(openid()), proof(phone()));
    const [survivor, absorbed] = [await make(), await make()];
    const held = await db('identities').whereIn('subject_id', [survivor, absorbed]).orderBy('kind');
    const of = (sub: string, kind: string) => held.find((row) => row.subject_id === sub && row.kind === kind)?.id;
    return { survivor, absorbed, of };
  }
  const currentOf = async (sub: string) =>
    (await db('identities').where({ subject_id: sub }).whereNull('superseded_at')).map(({ id }) => id).sort();

  it('the ones that are chosen stay current; the others are kept, and sign in', async () => {
    const { survivor, absorbed, of } = await sides();
    const keep = [of(absorbed, 'phone'), of(survivor, 'wechat_openid')];
    const { id } = await done<Made>(merging(survivor, absorbed, keep));
    expect(await currentOf(survivor)).toEqual([...keep].sort());
    expect(await db('identities').where({ subject_id: survivor })).toHaveLength(4);
    const second = await db('merge_identities').where({ merge_id: id, effect: 'superseded' });
    const losers = [of(survivor, 'phone'), of(absorbed, 'wechat_openid')];
    expect(second.map(({ identity_id }) => identity_id).sort()).toEqual(losers.sort());
  });

  it('unchosen, the survivor’s stay current', async () => {
    const { survivor, absorbed, of } = await sides();
    await done(merging(survivor, absorbed));
    expect(await currentOf(survivor)).toEqual([of(survivor, 'phone'), of(survivor, 'wechat_openid')].sort());
  });
});

describe('D14: an undo after the survivor went on', () => {
  it('gives back exactly what came from the absorbed one, lists what stays, is recorded on both sides and answers the same again', async () => {
    const [ofSurvivor, ofAbsorbed] = [phone(), phone()];
    const [survivor, absorbed] = [await somebody(proof(ofSurvivor)), await somebody(proof(ofAbsorbed))];
    const event = async (sub: string) => {
      const message_id = crypto.randomUUID();
      await done({ does: 'event', sub, message_id });
      return message_id;
    };
    const before = [await event(survivor), await event(absorbed)];
    const { id } = await done<Made>(merging(survivor, absorbed));
    const address = email();
    await done({ does: 'link', sub: survivor, proof: proof(address), replace: false });
    const after = [await event(survivor), await event(absorbed)];
    type Undone = { returned: { kind: string; hint: string }[]; stays: { kind: string }[] };
    const undone = await done<Undone>({ does: 'undo', merge_id: id });
    expect(undone.returned.map(({ kind }) => kind)).toEqual(['phone']);
    expect(undone.stays.map(({ kind }) => kind)).toEqual(['email']);
    expect((await somebody(proof(ofAbsorbed))) === absorbed && (await somebody(proof(address))) === survivor).toBe(
      true,
    );
    const eventsOf = async (sub: string) => (await timeline(db, sub)).data.map((item) => item.id).sort();
    expect(await eventsOf(survivor)).toEqual([before[0], after[0]].sort());
    expect(await eventsOf(absorbed)).toEqual([before[1], after[1]].sort());
    expect(JSON.stringify(await done({ does: 'undo', merge_id: id }, false))).toBe(JSON.stringify(undone));
    const audited = await db('audit_entries')
      .where({ action: 'subject.merge_undone' })
      .whereIn('subject_id', [survivor, absorbed]);
    expect(audited).toHaveLength(2);
    await assertSound();
  });
});

describe('D1: fifty first sign-ins of one person over two processes', () => {
  it.each([
    ['by phone', () => signIn(proof(phone()))],
    ['by WeChat with a phone', () => signIn(proof(openid(), unionid()), proof(phone()))],
  ] as const)('%s make one subject and fifty successes', async (_title, make) => {
    const step = make();
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) => done<{ sub: string; created: boolean }>(step, n % 2 > 0)),
    );
    expect(new Set(answers.map(({ sub }) => sub)).size).toBe(1);
    expect(answers.filter(({ created }) => created)).toHaveLength(1);
  });
});
