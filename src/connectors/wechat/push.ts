/**
 * Opens what arrives at an app's push address, or says why it is not WeChat's word; and makes the reply that goes back.
 *
 * An app with an EncodingAESKey takes encrypted pushes alone: in the clear a signature covers no body, and an attacker who saw one
 * signed address could have it believed with a body of their own. In compatible mode the encrypted half is read and the other is not.
 */
import { randomInt } from 'node:crypto';
import { decryptPush, encryptReply, isSignedBy, signatureOf } from './push-crypto.ts';
import { formatOf, type PushedMessage, type PushFormat, readMessage, writeMessage } from './push-message.ts';
import type { PushSettings } from './push-settings.ts';

export type PushApp = { appid: string } & Pick<PushSettings, 'push_token' | 'encoding_aes_key'>;

/** Parameters of the address. One that is given twice is none. */
export type PushQuery = Partial<
  Record<'signature' | 'timestamp' | 'nonce' | 'msg_signature' | 'encrypt_type' | 'echostr', string>
>;

export type Refusal = 'not_set_up' | 'wrong_signature' | 'stale' | 'not_encrypted' | 'wrong_key' | 'unreadable';

export type OpenedPush = PushedMessage & {
  kind: 'opened';
  format: PushFormat;
  /** The body is covered by the signature: WeChat's own word, which may prove who somebody is. */
  isEncrypted: boolean;
};
export type Opened = OpenedPush | { kind: 'refused'; why: Refusal };

/** How far WeChat's clock and ours may be apart: a signed address that was seen somewhere is worthless after it. */
const tolerance = 300;

const refused = (why: Refusal) => ({ kind: 'refused' as const, why });

/** WeChat's question when the address is entered in the console. @returns what must be answered, to the letter */
export function verifyAddress(app: PushApp, query: PushQuery, now: Date): { echostr: string } | { why: Refusal } {
  const why = faultOf(app, query, now);
  return why ? { why } : { echostr: query.echostr ?? '' };
}

export function openPush(app: PushApp, { query, body, now }: { query: PushQuery; body: string; now: Date }): Opened {
  const why = faultOf(app, query, now);
  if (why) return refused(why);
  const format = formatOf(body);
  const outer = readMessage(body, format);
  if (!outer) return refused('unreadable');
  if (!app.encoding_aes_key) {
    // Encrypted, and we were not told the key.
    if (outer.fields.Encrypt !== undefined) return refused('wrong_key');
    return { kind: 'opened', ...outer, format, isEncrypted: false };
  }
  return openEncrypted({ ...app, encoding_aes_key: app.encoding_aes_key }, { query, outer, format });
}

function openEncrypted(
  app: PushApp & { encoding_aes_key: string },
  { query, outer, format }: { query: PushQuery; outer: PushedMessage; format: PushFormat },
): Opened {
  const { Encrypt } = outer.fields;
  if (Encrypt === undefined) return refused('not_encrypted');
  const { timestamp = '', nonce = '', msg_signature = '' } = query;
  if (!isSignedBy([app.push_token ?? '', timestamp, nonce, Encrypt], msg_signature)) return refused('wrong_signature');
  const text = decryptPush(app, Encrypt);
  if (text === undefined) return refused('wrong_key');
  const message = readMessage(text, format);
  return message ? { kind: 'opened', ...message, format, isEncrypted: true } : refused('unreadable');
}

function faultOf({ push_token }: PushApp, query: PushQuery, now: Date): Refusal | undefined {
  const { signature = '', timestamp = '', nonce = '' } = query;
  if (!push_token) return 'not_set_up';
  if (!isSignedBy([push_token, timestamp, nonce], signature)) return 'wrong_signature';
  const seconds = /^\d{1,12}$/.test(timestamp) ? Number(timestamp) : Number.NaN;
  return Math.abs(now.getTime() / 1000 - seconds) <= tolerance ? undefined : 'stale';
}

/** A text that the account answers with, in the way the push came: passive reply (被动回复). */
export function writeReply(app: PushApp, push: OpenedPush, { text, now }: { text: string; now: Date }): string {
  const seconds = Math.floor(now.getTime() / 1000);
  const { FromUserName = '', ToUserName = '' } = push.fields;
  const reply = {
    ToUserName: FromUserName,
    FromUserName: ToUserName,
    CreateTime: seconds,
    MsgType: 'text',
    Content: text,
  };
  const written = writeMessage(reply, push.format);
  if (!push.isEncrypted || !app.encoding_aes_key) return written;
  return sealReply({ ...app, encoding_aes_key: app.encoding_aes_key }, written, { format: push.format, seconds });
}

export function sealReply(
  app: PushApp & { encoding_aes_key: string },
  text: string,
  {
    format,
    seconds,
    nonce = String(randomInt(1e8, 1e9)),
    random,
  }: { format: PushFormat; seconds: number; nonce?: string; random?: Buffer },
): string {
  const Encrypt = encryptReply(app, text, random);
  const MsgSignature = signatureOf([app.push_token ?? '', String(seconds), nonce, Encrypt]);
  return writeMessage({ Encrypt, MsgSignature, TimeStamp: seconds, Nonce: nonce }, format);
}
