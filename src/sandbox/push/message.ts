/** A push as text: the same fields as XML or as JSON, in the clear, encrypted, or both; and what came back for it. */
import type { PushSetting, WechatApp } from '../state.ts';
import { decrypt, encrypt, sign } from './crypto.ts';
import { type Problem, problem } from './problem.ts';

/** In the order of the vendor's pages. A bigint is a MsgId, which is greater than a JavaScript number holds. */
export type Message = Record<string, string | number | bigint>;
type Format = PushSetting['format'];

export function write(message: Message, format: Format): string {
  const fields = Object.entries(message);
  if (format === 'json')
    return `{${fields.map(([name, value]) => `${JSON.stringify(name)}:${typeof value === 'string' ? JSON.stringify(value) : value}`).join(',')}}`;
  const xml = fields.map(([name, value]) => `<${name}>${typeof value === 'string' ? cdata(value) : value}</${name}>`);
  return `<xml>${xml.join('')}</xml>`;
}

function cdata(text: string): string {
  return `<![CDATA[${text.replaceAll(']]>', ']]]]><![CDATA[>')}]]>`;
}

/** One signed request: the query that goes with it, and the body. */
export function wrap(
  message: Message,
  { app, setting, timestamp, nonce }: { app: WechatApp; setting: PushSetting; timestamp: string; nonce: string },
): { query: Record<string, string>; body: string } {
  const { token, mode, format, encoding_aes_key } = setting;
  const signed = { signature: sign([token, timestamp, nonce]), timestamp, nonce };
  const openid = String(message.FromUserName);
  if (mode === 'plain' || !encoding_aes_key) return { query: { ...signed, openid }, body: write(message, format) };
  const Encrypt = encrypt(write(message, format), { encoding_aes_key, appid: app.appid });
  const query = { ...signed, openid, encrypt_type: 'aes', msg_signature: sign([token, timestamp, nonce, Encrypt]) };
  const clear = mode === 'compatible' ? message : { ToUserName: message.ToUserName ?? '' };
  return { query, body: write({ ...clear, Encrypt }, format) };
}

export type Reply = { outcome: 'accepted' } | { outcome: 'replied'; reply: string } | ({ outcome: 'failed' } & Problem);

/** `success` and nothing at all are thanks; anything else must be a message that WeChat can read and hand on. */
export function readReply(text: string, { app, setting }: { app: WechatApp; setting: PushSetting }): Reply {
  if (text === '' || text === 'success') return { outcome: 'accepted' };
  const { mode, format, token, encoding_aes_key } = setting;
  const sealed = field(text, 'Encrypt', format);
  if (sealed === undefined) {
    if (mode === 'secure') return failed('not_encrypted');
    return readable(text, format) ? { outcome: 'replied', reply: text } : failed('no_message', format);
  }
  const [timestamp = '', nonce = '', signature] = ['TimeStamp', 'Nonce', 'MsgSignature'].map((name) =>
    field(text, name, format),
  );
  if (signature !== sign([token, timestamp, nonce, sealed])) return failed('wrong_signature');
  const reply = decrypt(sealed, { encoding_aes_key: encoding_aes_key ?? '', appid: app.appid });
  if (reply === undefined) return failed('wrong_key');
  return readable(reply, format) ? { outcome: 'replied', reply } : failed('holds_no_message', format);
}

function failed(fault: Problem['fault'], detail = ''): Reply {
  return { outcome: 'failed', ...problem(fault, detail) };
}

function readable(text: string, format: Format): boolean {
  return format === 'json' ? parsed(text) !== undefined : field(text, 'MsgType', 'xml') !== undefined;
}

function field(text: string, name: string, format: Format): string | undefined {
  if (format === 'json') {
    const value = parsed(text)?.[name];
    return value === undefined ? undefined : String(value);
  }
  const match = new RegExp(`<${name}>(?:<!\\[CDATA\\[([\\s\\S]*?)\\]\\]>|([^<]*))</${name}>`).exec(text);
  return match ? (match[1] ?? match[2]) : undefined;
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
