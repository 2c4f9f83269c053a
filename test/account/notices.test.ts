import { describe, expect, it } from 'vitest';
import { tellEverywhere } from '../../src/account/notices.ts';
import type { Notice } from '../../src/connectors/contract.ts';
import { noticeMail } from '../../src/connectors/email/message.ts';
import { fail } from '../../src/errors.ts';
import { createLogger } from '../../src/log.ts';
import { createSeal } from '../../src/seal.ts';
import { linkProof, unlinkIdentity } from '../../src/subjects/link.ts';
import { resolveSubject } from '../../src/subjects/resolve.ts';
import { testDatabase } from '../helpers/database.ts';
import { collectJobs } from '../helpers/jobs.ts';
import { email, openid, phone, proof, unionid } from '../subjects/people.ts';

const { db } = await testDatabase();
const seal = createSeal('a secret of at least thirty-two characters');
const { jobs, sent } = collectJobs();
const told: (Notice & { channel: string })[] = [];
const faults: Error[] = [];
const services = {
  db,
  seal,
  log: createLogger({ level: 'silent' }),
  publicUrl: 'https://id.example.com',
  connectors: {
    notify: async (channel: string, notice: Notice) => {
      const fault = faults.shift();
      if (fault) throw fault;
      told.push({ channel, ...notice });
      return true;
    },
  },
};
const actor = { actor_kind: 'person' as const };
const context = { channel: 'website' };
const known = async (...of: Parameters<typeof proof>) =>
  (await resolveSubject({ db, seal, jobs }, { proofs: [proof(...of)], create: true, context })).sub;

/** Works off what was sent since; a job that fails is tried once more. */
async function work(): Promise<void> {
  told.length = 0;
  for (const { name, data } of sent.splice(0)) {
    if (name !== 'subject.notify') continue;
    await tellEverywhere(services, data as never).catch(() => tellEverywhere(services, data as never));
  }
}

describe('what happened to an account is told', () => {
  it('on every other channel, not to what was just proven', async () => {
    const [address, number] = [email(), phone()];
    const sub = await known(address, openid());
    await linkProof({ db, seal, jobs }, { sub, proof: proof(number), actor });
    await work();
    expect(told).toMatchObject([{ channel: 'email', to: address.external_id, what: 'identity_linked', kind: 'phone' }]);
    expect(told[0]?.hint).toMatch(/\*{4}/);
    expect(JSON.stringify(told)).not.toContain(number.external_id);
  });

  it('B19: to the old number or address too, which the job holds sealed only', async () => {
    const [address, number] = [email(), phone()];
    const sub = await known(address, number);
    sent.length = 0;
    await linkProof({ db, seal, jobs }, { sub, proof: proof(email()), actor, replace: true });
    expect(JSON.stringify(sent)).not.toContain(address.external_id);
    await work();
    const unlinked = told.filter(({ what }) => what === 'identity_unlinked').map(({ to }) => to);
    expect(unlinked).toContain(address.external_id);
    expect(unlinked).toContain(number.external_id);
  });

  it('once, also when the job is tried again and when a WeChat is several identities', async () => {
    const address = email();
    const sub = await known(address);
    await linkProof({ db, seal, jobs }, { sub, proof: proof(openid(), unionid()), actor });
    const again = [...sent];
    await work();
    expect(told).toHaveLength(1);
    sent.push(...again);
    await work();
    expect(told).toEqual([]);
  });

  it('by another try when a channel did not answer, and not when nobody lives there', async () => {
    const sub = await known(email(), phone());
    await linkProof({ db, seal, jobs }, { sub, proof: proof(openid()), actor });
    faults.push(fail('upstream_unavailable'));
    await work();
    expect(told.map(({ channel }) => channel).sort()).toEqual(['email', 'sms']);
    const [identity] = await db('identities').where({ subject_id: sub, kind: 'wechat_openid' });
    await unlinkIdentity({ db, seal, jobs }, { sub, identity_id: identity.id, actor });
    faults.push(fail('send_refused'));
    await work();
    expect(told).toHaveLength(1);
  });

  it('under the sub that stands when the two were joined meanwhile', async () => {
    const address = email();
    const sub = await known(address);
    sent.push({ name: 'subject.notify', data: { sub, what: 'merged', at: '2026-11-26T11:00:00Z' } });
    await work();
    expect(told).toMatchObject([{ to: address.external_id, what: 'merged' }]);
  });
});

describe('the mail', () => {
  const notice: Notice = {
    to: 'a@example.com',
    id: 'x',
    locale: 'zh-CN',
    what: 'identity_linked',
    kind: 'phone',
    hint: '138****8000<b>',
    at: new Date('2026-11-26T11:00:00Z'),
    url: 'https://id.example.com/account',
  };
  const every = [
    'identity_linked',
    'identity_unlinked',
    'removal_asked',
    'merged',
    'merge_undone',
    'phone_detached',
  ] as const;

  it.each(every)('%s says what, when and how to react, in both languages, as text and as HTML', (what) => {
    for (const [locale, when] of [
      ['zh-CN', '2026年11月26日 19:00'],
      ['en', '26 November 2026 at 19:00'],
    ] as const) {
      const { subject, text, html } = noticeMail({ ...notice, what, locale });
      for (const part of [text, html]) {
        expect(part).toContain(when);
        expect(part).toContain(subject);
        expect(part).not.toMatch(/undefined|\{\{/);
        expect(part.includes(notice.url)).toBe(what !== 'phone_detached');
      }
      expect(subject).not.toContain('138');
      expect(html).toContain('138****8000&lt;b&gt;');
      if (locale === 'en') expect(text).not.toMatch(/\p{Script=Han}/u);
    }
  });
});
