/** Tencent Cloud's request signature V3, TC3-HMAC-SHA256, for a POST of JSON. Pure, so that the vendor's published vectors are tests. */
import { createHash, createHmac } from 'node:crypto';

export type Tc3Request = {
  service: string;
  /** Path of the URL, as it goes over the wire. */
  path: string;
  /** Seconds since 1970. */
  timestamp: number;
  /** Lower-case names; all of them are signed. Values must be sent exactly as they are signed, content-type above all. */
  headers: Record<string, string>;
  body: string;
};

export type Tc3Key = { secret_id: string; secret_key: string };

export function signTc3(
  { service, path, timestamp, headers, body }: Tc3Request,
  { secret_id, secret_key }: Tc3Key,
): { canonical_hash: string; signature: string; authorization: string } {
  const names = Object.keys(headers).sort();
  const signed = names.join(';');
  // Names and values both count in lower case.
  const block = names.map((name) => `${name}:${headers[name]?.trim().toLowerCase()}\n`).join('');
  const canonical_hash = sha256(['POST', path, '', block, signed, sha256(body)].join('\n'));
  const date = new Date(timestamp * 1000).toISOString().slice(0, 10);
  const scope = `${date}/${service}/tc3_request`;
  const key = hmac(hmac(hmac(`TC3${secret_key}`, date), service), 'tc3_request');
  const signature = hmac(key, `TC3-HMAC-SHA256\n${timestamp}\n${scope}\n${canonical_hash}`).toString('hex');
  const authorization = `TC3-HMAC-SHA256 Credential=${secret_id}/${scope}, SignedHeaders=${signed}, Signature=${signature}`;
  return { canonical_hash, signature, authorization };
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest();
