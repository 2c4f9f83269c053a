/**
 * Secrecy at rest: seals values with AES-256-GCM under a key id, and makes the keyed hashes by which sealed values are
 * found again. All keys are derived from HEYI_SECRET (HKDF-SHA256, RFC 5869), one per purpose, so that no key is used twice.
 *
 * Envelope: `<key id>.<iv>.<tag>.<ciphertext>`, each part base64url. The context (table and column, say) is authenticated, so a
 * sealed value moved to another row kind does not open.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import type { Database } from './database.ts';
import { StartupError } from './errors.ts';

export type Seal = {
  /** Names the current key: the first 8 hex digits of a hash of it. */
  keyId: string;
  seal(plain: string, context: string): string;
  /** Throws when the envelope was made with another key, for another context, or was altered. */
  open(envelope: string, context: string): string;
  /** Deterministic keyed hash (HMAC-SHA256, base64url) for look-up; `context` keeps equal values of different kinds apart. */
  hash(value: string, context: string): string;
  /** 32-byte key for one named purpose (cookie signatures, form tokens). */
  derive(purpose: string): Buffer;
};

export function createSeal(rootSecret: string): Seal {
  const derive = (purpose: string) => Buffer.from(hkdfSync('sha256', rootSecret, 'heyi', purpose, 32));
  const sealingKey = derive('seal/1');
  const hashingKey = derive('hash/1');
  const keyId = createHmac('sha256', sealingKey).update('key id').digest('hex').slice(0, 8);
  return {
    keyId,
    derive,
    hash: (value, context) => createHmac('sha256', hashingKey).update(`${context}\0${value}`).digest('base64url'),
    seal(plain, context) {
      const iv = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', sealingKey, iv).setAAD(Buffer.from(context));
      const sealed = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]);
      return [
        keyId,
        iv.toString('base64url'),
        cipher.getAuthTag().toString('base64url'),
        sealed.toString('base64url'),
      ].join('.');
    },
    open(envelope, context) {
      const [id, iv, tag, sealed] = envelope.split('.');
      if (id !== keyId || !iv || !tag || sealed === undefined)
        throw new Error(`sealed with another key (${id}) than ours (${keyId})`);
      const decipher = createDecipheriv('aes-256-gcm', sealingKey, Buffer.from(iv, 'base64url'))
        .setAAD(Buffer.from(context))
        .setAuthTag(Buffer.from(tag, 'base64url'));
      return Buffer.concat([decipher.update(Buffer.from(sealed, 'base64url')), decipher.final()]).toString('utf8');
    },
  };
}

/** Refuses to go on when the database was sealed with another HEYI_SECRET: every phone number in it would be unreadable. */
export async function assertSameSecret(db: Database, seal: Seal): Promise<void> {
  const probe = seal.seal('heyi', 'seal_check');
  await db.raw('insert into seal_check (id, probe) values (1, ?) on conflict (id) do nothing', [probe]);
  const { rows } = await db.raw('select probe from seal_check where id = 1');
  try {
    seal.open(rows[0].probe, 'seal_check');
  } catch {
    throw new StartupError(
      'HEYI_SECRET is not the secret this database was sealed with. Start with the former secret, or with an empty database.',
    );
  }
}
