/**
 * 消息加解密, WeChat's side of it, written from the vendor's page and its vectors: on purpose nothing is shared with the
 * connectors, which it has to find wrong when they are.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';

/** Of a push in the clear: (token, timestamp, nonce). Of an encrypted one the ciphertext is the fourth word. */
export function sign(words: string[]): string {
  return createHash('sha1')
    .update([...words].sort().join(''))
    .digest('hex');
}

type Keys = { encoding_aes_key: string; appid: string };

/** random(16) · length of the text as uint32 · text · appid, padded to blocks of 32 bytes. */
export function encrypt(
  text: string,
  { encoding_aes_key, appid }: Keys,
  random = randomBytes(8).toString('hex'),
): string {
  const key = Buffer.from(`${encoding_aes_key}=`, 'base64');
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  const plain = Buffer.concat([Buffer.from(random), length, bytes, Buffer.from(appid)]);
  const padding = 32 - (plain.length % 32);
  const cipher = createCipheriv('aes-256-cbc', key, key.subarray(0, 16)).setAutoPadding(false);
  return Buffer.concat([cipher.update(plain), cipher.update(Buffer.alloc(padding, padding)), cipher.final()]).toString(
    'base64',
  );
}

/** Undefined when it was not encrypted with this key for this app. */
export function decrypt(text: string, { encoding_aes_key, appid }: Keys): string | undefined {
  const key = Buffer.from(`${encoding_aes_key}=`, 'base64');
  try {
    const decipher = createDecipheriv('aes-256-cbc', key, key.subarray(0, 16)).setAutoPadding(false);
    const plain = Buffer.concat([decipher.update(text, 'base64'), decipher.final()]);
    const padding = plain.at(-1) ?? 0;
    const end = 20 + plain.readUInt32BE(16);
    const isPadded = padding >= 1 && padding <= 32 && plain.length - padding >= end;
    if (!isPadded || plain.toString('utf8', end, plain.length - padding) !== appid) return undefined;
    return plain.toString('utf8', 20, end);
  } catch {
    return undefined;
  }
}
