/**
 * The gateways' side of the three request signatures: Aliyun ACS3-HMAC-SHA256, Aliyun RPC 1.0 (HMAC-SHA1) and Tencent
 * TC3-HMAC-SHA256. Pure: what was sent in, a fault or the key id out. Held to the vendors' published examples.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

export type SignedRequest = {
  method: string;
  /** The path as the vendor would see it, and as it was really sent: a client may have signed either. */
  paths: string[];
  /** Raw, without the question mark. */
  query: string;
  /** Names in lower case. */
  headers: Record<string, string | undefined>;
  body: Buffer;
};
type SecretOf = (keyId: string) => string | undefined;
export type Verdict = { key_id: string } | { fault: 'missing' | 'unknown_key' | 'mismatch' };

const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest('hex');
const hmac = (key: string | Buffer, data: string) => createHmac('sha256', key).update(data).digest();

function equal(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

/** RFC 3986: encodeURIComponent leaves five characters more alone than the vendors do. */
export function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

function canonicalQuery(pairs: Iterable<[string, string]>): string {
  return [...pairs]
    .map(([name, value]) => [encode(name), encode(value)] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}

const requiredByAcs3 = [
  'host',
  'x-acs-action',
  'x-acs-version',
  'x-acs-date',
  'x-acs-signature-nonce',
  'x-acs-content-sha256',
];

/** The host and every x-acs- header must be signed, else they could be changed on the way. */
export function verifyAcs3(request: SignedRequest, secretOf: SecretOf): Verdict {
  const { headers, body, method } = request;
  const given = /^ACS3-HMAC-SHA256 +Credential=([^,]+), *SignedHeaders=([^,]+), *Signature=([0-9a-f]{64})$/.exec(
    headers.authorization ?? '',
  );
  const [, key_id, names, signature] = given ?? [];
  if (!key_id || !names || !signature) return { fault: 'missing' };
  const secret = secretOf(key_id);
  if (secret === undefined) return { fault: 'unknown_key' };

  const signed = names.split(';');
  const sent = Object.keys(headers).filter((name) => name.startsWith('x-acs-'));
  if (![...requiredByAcs3, ...sent].every((name) => signed.includes(name) && headers[name] !== undefined))
    return { fault: 'mismatch' };
  const bodyHash = sha256(body);
  if (headers['x-acs-content-sha256'] !== bodyHash) return { fault: 'mismatch' };

  const block = [...signed].sort().map((name) => `${name}:${(headers[name] ?? '').trim()}\n`);
  const matches = request.paths.some((path) => {
    const canonical = [
      method,
      path,
      canonicalQuery(new URLSearchParams(request.query)),
      block.join(''),
      names,
      bodyHash,
    ];
    const toSign = `ACS3-HMAC-SHA256\n${sha256(canonical.join('\n'))}`;
    return equal(hmac(secret, toSign).toString('hex'), signature);
  });
  return matches ? { key_id } : { fault: 'mismatch' };
}

/** The older style, all in parameters: base64(HMAC-SHA1(secret&, METHOD&%2F&encoded parameters)). */
export function verifyRpc(method: string, parameters: URLSearchParams, secretOf: SecretOf): Verdict {
  const key_id = parameters.get('AccessKeyId');
  const signature = parameters.get('Signature');
  if (!key_id || !signature) return { fault: 'missing' };
  const secret = secretOf(key_id);
  if (secret === undefined) return { fault: 'unknown_key' };
  const signed = [...parameters].filter(([name]) => name !== 'Signature');
  const toSign = `${method}&%2F&${encode(canonicalQuery(signed))}`;
  const expected = createHmac('sha1', `${secret}&`).update(toSign).digest('base64');
  return equal(expected, signature) ? { key_id } : { fault: 'mismatch' };
}

/** Header names and values count in lower case; content-type and host must be signed; the date is the timestamp's, in UTC. */
export function verifyTc3(request: SignedRequest, service: string, secretOf: SecretOf): Verdict {
  const { headers, body, method } = request;
  const given =
    /^TC3-HMAC-SHA256 +Credential=([^/]+)\/(\d{4}-\d\d-\d\d)\/(\w+)\/tc3_request, *SignedHeaders=([^,]+), *Signature=([0-9a-f]{64})$/.exec(
      headers.authorization ?? '',
    );
  const [, key_id, date, scope, names, signature] = given ?? [];
  if (!key_id || !date || !names || !signature) return { fault: 'missing' };
  const secret = secretOf(key_id);
  if (secret === undefined) return { fault: 'unknown_key' };

  const timestamp = headers['x-tc-timestamp'] ?? '';
  const signed = names.split(';');
  if (!['content-type', 'host'].every((name) => signed.includes(name))) return { fault: 'mismatch' };
  const isDated = /^\d{1,12}$/.test(timestamp) && new Date(Number(timestamp) * 1000).toISOString().startsWith(date);
  if (!isDated || scope !== service) return { fault: 'mismatch' };

  const block = signed.map((name) => `${name}:${(headers[name] ?? '').trim().toLowerCase()}\n`).join('');
  const key = hmac(hmac(hmac(`TC3${secret}`, date), service), 'tc3_request');
  const matches = request.paths.some((path) => {
    const canonical = [method, path, request.query, block, names, sha256(body)].join('\n');
    const toSign = `TC3-HMAC-SHA256\n${timestamp}\n${date}/${service}/tc3_request\n${sha256(canonical)}`;
    return equal(hmac(key, toSign).toString('hex'), signature);
  });
  return matches ? { key_id } : { fault: 'mismatch' };
}
