/** Alibaba Cloud's request signature V3, ACS3-HMAC-SHA256. Pure, so that the vendor's published vectors are tests. */
import { createHash, createHmac } from 'node:crypto';

export type Acs3Request = {
  method: string;
  /** Path of the URL, as it goes over the wire. */
  path: string;
  query: Record<string, string>;
  /** Lower-case names. Signed are host, content-type and every x-acs-*. */
  headers: Record<string, string>;
  body: string;
};

export type Acs3Key = { access_key_id: string; access_key_secret: string };

export function signAcs3(
  request: Acs3Request,
  key: Acs3Key,
): { canonical_hash: string; signature: string; authorization: string } {
  const names = Object.keys(request.headers)
    .filter((name) => name === 'host' || name === 'content-type' || name.startsWith('x-acs-'))
    .sort();
  const canonical = [
    request.method,
    request.path,
    encodeForm(request.query),
    ...names.map((name) => `${name}:${request.headers[name]?.trim()}`),
    '',
    names.join(';'),
    sha256(request.body),
  ].join('\n');
  const canonical_hash = sha256(canonical);
  const signature = createHmac('sha256', key.access_key_secret)
    .update(`ACS3-HMAC-SHA256\n${canonical_hash}`)
    .digest('hex');
  const authorization = `ACS3-HMAC-SHA256 Credential=${key.access_key_id},SignedHeaders=${names.join(';')},Signature=${signature}`;
  return { canonical_hash, signature, authorization };
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Sorted and percent-encoded by RFC 3986, which spares fewer characters than encodeURIComponent. */
export function encodeForm(values: Record<string, string>): string {
  return Object.keys(values)
    .sort()
    .map((name) => `${encode(name)}=${encode(values[name] ?? '')}`)
    .join('&');
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
}
