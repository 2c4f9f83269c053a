/** B8: one number has many spellings, and every entrance takes them for one: the page, POST /otp, the API, and the limits behind them. */
import { createHash, randomBytes } from 'node:crypto';
import { assert, asyncProperty, constantFrom, integer, tuple } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runningApp } from '../helpers/app.ts';
import { createVisitor, formTo } from '../login/visitor.ts';

const { config } = await runningApp();
const { publicUrl, sandboxUrl, demoUrl } = config;
const json = { accept: 'application/json', 'content-type': 'application/json' };
const post = async (url: string, body: object, headers: object = {}) => {
  const answer = await fetch(url, { method: 'POST', headers: { ...json, ...headers }, body: JSON.stringify(body) });
  return { status: answer.status, body: (await answer.json()) as Record<string, string> };
};
const form = async (fields: Record<string, string>, headers: object = {}) => {
  const answer = await fetch(`${publicUrl}/token`, {
    method: 'POST',
    headers: { ...headers },
    body: new URLSearchParams(fields),
  });
  return (await answer.json()) as Record<string, string>;
};

const otp = (to: string) => post(`${publicUrl}/otp`, { client_id: 'demo-miniprogram', channel: 'sms', to });
const machine = { authorization: `Basic ${btoa('demo-backend:demo-backend-secret')}` };
const { access_token } = await form(
  { grant_type: 'client_credentials', resource: `${publicUrl}/api`, scope: 'subjects:read' },
  machine,
);
const lookup = (value: string) =>
  post(`${publicUrl}/api/v1/subjects/lookup`, { kind: 'phone', value }, { authorization: `Bearer ${access_token}` });

async function signIn(digits: string, to: string): Promise<string> {
  const { body } = await otp(to);
  const inbox = await fetch(`${sandboxUrl}/inbox?to=${digits}`, { headers: json });
  const [message] = ((await inbox.json()) as { messages: { code: string }[] }).messages;
  const { id_token = '' } = await form({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    client_id: 'demo-miniprogram',
    subject_token_type: 'urn:heyi:token-type:one-time-code',
    subject_token: `${body.otp_id}.${message?.code}`,
    scope: 'openid',
    consents: 'privacy@1',
  });
  return JSON.parse(Buffer.from(id_token.split('.')[1] ?? '', 'base64url').toString()).sub;
}

/** The sign-in page's answer to this number. */
async function askOnPage(to: string) {
  const visitor = createVisitor();
  const query = new URLSearchParams({
    client_id: 'demo-website',
    response_type: 'code',
    scope: 'openid',
    redirect_uri: `${demoUrl}/callback`,
    code_challenge: createHash('sha256').update(randomBytes(32)).digest('base64url'),
    code_challenge_method: 'S256',
  });
  const page = await visitor.follow(await visitor.get(`${publicUrl}/authorize?${query}`));
  return visitor.submit(formTo(page, '/sms'), { phone: to, privacy: '1' });
}

const wide = (text: string) => text.replace(/[0-9+]/g, (sign) => String.fromCharCode(sign.charCodeAt(0) + 0xfee0));
/** As people type it, paste it from a contact, or copy it from a page. */
const spelling = tuple(
  constantFrom('', '+86', '0086', '86', '+86 ', '(+86) ', '0086-'),
  constantFrom('', ' ', '-', '\u00a0', '\u2011', '\u200b'),
  constantFrom(
    wide,
    (text: string) => text,
    (text: string) => ` ${text}\u202c`,
  ),
).map(
  ([prefix, between, written]) =>
    (digits: string) =>
      written(`${prefix}${[digits.slice(0, 3), digits.slice(3, 7), digits.slice(7)].join(between)}`),
);
const number = tuple(constantFrom('13', '15', '17', '18', '19'), integer({ min: 0, max: 999_999_999 })).map(
  ([start, rest]) => `${start}${String(rest).padStart(9, '0')}`,
);

describe('B8: a number is one number', () => {
  it('however it is spelt at the page, at POST /otp, at the API and to the limits', async () => {
    await assert(
      asyncProperty(number, spelling, spelling, spelling, async (digits, first, second, third) => {
        const sub = await signIn(digits, first(digits));
        expect(sub).toMatch(/^[\da-f-]{36}$/);
        // One limit behind both doors: within the minute of the first code, no spelling gets another.
        expect(await otp(second(digits))).toMatchObject({ status: 429, body: { error_reason: 'code_too_soon' } });
        const page = await askOnPage(third(digits));
        expect(page.status).toBe(429);
        expect(page.html).toContain('验证码刚刚发送过');
        for (const spelt of [first, second, third])
          expect(await lookup(spelt(digits))).toMatchObject({ status: 200, body: { sub } });
      }),
      { numRuns: 12, endOnFailure: true },
    );
  });
});
