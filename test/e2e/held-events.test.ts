import { describe, expect, it } from 'vitest';
import { runningApp } from '../helpers/app.ts';

const { config, db } = await runningApp();
const json = { 'content-type': 'application/json' };

async function exchange(to: string): Promise<Record<string, string>> {
  const asked = await fetch(`${config.publicUrl}/otp`, {
    method: 'POST',
    headers: json,
    body: JSON.stringify({ client_id: 'demo-miniprogram', channel: 'sms', to }),
  });
  const { otp_id } = (await asked.json()) as { otp_id: string };
  const inbox = await fetch(`${config.sandboxUrl}/inbox?to=${encodeURIComponent(to)}`, {
    headers: { accept: 'application/json' },
  });
  const [message] = ((await inbox.json()) as { messages: { code: string }[] }).messages;
  const answer = await fetch(`${config.publicUrl}/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      client_id: 'demo-miniprogram',
      subject_token: `${otp_id}.${message?.code}`,
      subject_token_type: 'urn:heyi:token-type:one-time-code',
      scope: 'openid',
    }),
  });
  return (await answer.json()) as Record<string, string>;
}

describe('an order in a store before anybody knew the customer', () => {
  it('F15: is theirs the moment they sign in with the number', async () => {
    const phone = '+8613712345671';
    const externalIds = [{ id: '137 1234 5671', type: 'phone', collection: 'users', encoding: 'none' }];
    const stored = await fetch(`${config.publicUrl}/v1/track`, {
      method: 'POST',
      headers: { ...json, authorization: `Basic ${btoa('demo-server-key:')}` },
      body: JSON.stringify({
        event: 'order_paid',
        context: { channel: 'store', externalIds },
        properties: { total: '88.00' },
      }),
    });
    expect(await stored.json()).toEqual({ success: true, rejected: [] });
    const { id_token = '' } = await exchange(phone);
    const { sub } = JSON.parse(Buffer.from(id_token.split('.')[1] ?? '', 'base64url').toString());
    const events = await db('events').where({ event: 'order_paid' }).select('subject_id', 'channel', 'trust');
    expect(events).toEqual([{ subject_id: sub, channel: 'store', trust: 'server' }]);
  });
});
