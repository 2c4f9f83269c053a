/**
 * 消息加解密: what signs and encrypts a message push, and nothing else. In the clear the signature covers token, time and nonce, and not
 * the body; encrypted, msg_signature covers the ciphertext, and the appid inside says whose it is.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes, timingSafeEqual } from 'node:crypto';

export type PushKeys = { appid: string; encoding_aes_key: string };

/** SHA-1 over the words in the order of their text, as WeChat has it. */
export function signatureOf(words: string[]): string {
  return createHash('sha1')
    .update([...words].sort().join(''))
    .digest('hex');
}

/** Compared in constant time: an attacker learns nothing about how much of a guess was right. */
export function isSignedBy(words: string[], signature: string): boolean {
  const expected = Buffer.from(signatureOf(words));
  const given = Buffer.from(signature);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

/** PKCS#7 with blocks of 32 bytes, where AES itself has 16: the padding is ours to do. */
const block = 32;
/** random(16) · length of the message as uint32, big-endian · message · appid */
const headLength = 20;

function keyOf({ encoding_aes_key }: PushKeys): { key: Buffer; iv: Buffer } {
  const key = Buffer.from(`${encoding_aes_key}=`, 'base64');
  return { key, iv: key.subarray(0, 16) };
}

/** Undefined when it was not encrypted with this key for this app. */
export function decryptPush(keys: PushKeys, encrypted: string): string | undefined {
  const { key, iv } = keyOf(keys);
  const bytes = Buffer.from(encrypted, 'base64');
  if (!bytes.length || bytes.length % 16) return undefined;
  const decipher = createDecipheriv('aes-256-cbc', key, iv).setAutoPadding(false);
  const padded = Buffer.concat([decipher.update(bytes), decipher.final()]);
  const padding = padded.at(-1) ?? 0;
  const plain = padded.subarray(0, padded.length - padding);
  if (padding < 1 || padding > block || plain.length < headLength) return undefined;
  const end = headLength + plain.readUInt32BE(16);
  if (end > plain.length || plain.toString('utf8', end) !== keys.appid) return undefined;
  return plain.toString('utf8', headLength, end);
}

export function encryptReply(keys: PushKeys, text: string, random: Buffer = randomBytes(16)): string {
  const { key, iv } = keyOf(keys);
  const message = Buffer.from(text);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(message.length);
  const plain = Buffer.concat([random, length, message, Buffer.from(keys.appid)]);
  const padding = block - (plain.length % block);
  const cipher = createCipheriv('aes-256-cbc', key, iv).setAutoPadding(false);
  const padded = Buffer.concat([plain, Buffer.alloc(padding, padding)]);
  return Buffer.concat([cipher.update(padded), cipher.final()]).toString('base64');
}
