/** From a person's act in WeChat to what is left of them here: the whole product, and the sandbox as WeChat. */
import { describe, expect, it } from 'vitest';
import { runningApp } from '../helpers/app.ts';

const { config, db } = await runningApp();
const appid = 'wxsandbox0000000001';

async function sandbox(path: string, body: object): Promise<Record<string, string>> {
  const answer = await fetch(`${config.sandboxUrl}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify(body),
  });
  return (await answer.json()) as Record<string, string>;
}

let people = 0;

/** Signs in in the mini-program, with the phone-number button. */
async function signedIn() {
  people += 1;
  const phone = `+8613900001${String(people).padStart(3, '0')}`;
  const { person_id } = await sandbox('/people', { nickname: 'Li', phone });
  const login = await sandbox(`/people/${person_id}/login-code`, { appid });
  const number = await sandbox(`/people/${person_id}/phone-code`, { appid });
  const answer = await fetch(`${config.publicUrl}/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      client_id: 'demo-miniprogram',
      subject_token_type: 'urn:heyi:token-type:wechat-login-code',
      subject_token: String(login.code),
      phone_code: String(number.code),
      consents: 'privacy@1',
      scope: 'openid',
    }),
  });
  const { id_token, phone_status } = (await answer.json()) as Record<string, string>;
  expect(phone_status).toBe('linked');
  const sub = JSON.parse(Buffer.from(id_token?.split('.')[1] ?? '', 'base64url').toString()).sub;
  return { person_id, sub };
}

const kindsOf = async (sub: string) =>
  (await db('identities').where({ subject_id: sub }).orderBy('kind')).map(({ kind }) => kind);

describe('in WeChat a person', () => {
  it('takes the phone number back: it goes here, encrypted push and all, and the sign-in stays', async () => {
    const { person_id, sub } = await signedIn();
    expect(await kindsOf(sub)).toEqual(['phone', 'wechat_openid', 'wechat_unionid']);
    await sandbox(`/people/${person_id}/revoke`, { appid, revoke_info: '8' });
    expect(await kindsOf(sub)).toEqual(['wechat_openid', 'wechat_unionid']);
    expect(await db('wechat_given_phones').whereIn('openid', db('identities').select('lookup'))).toEqual([]);
  });

  it('closes the account: nothing of WeChat is left, and the number still opens the account', async () => {
    const { person_id, sub } = await signedIn();
    await sandbox(`/people/${person_id}/close-account`, {});
    expect(await kindsOf(sub)).toEqual(['phone']);
    const actions = (await db('audit_entries').where({ subject_id: sub })).map(({ action }) => action);
    expect(actions).toContain('wechat.account_closed');
    expect(actions).not.toContain('subject.needs_attention');
  });
});
