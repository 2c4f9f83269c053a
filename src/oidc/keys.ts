/**
 * The keys that sign tokens: ES256 for access tokens, RS256 for the ID tokens of websites (what every library can check). Made on the first start,
 * private parts sealed. A later key is published before it signs, and an old one until its tokens have expired.
 */
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose';
import type { Database } from '../database.ts';
import type { Seal } from '../seal.ts';
import { type KeyRow, lockKeys, publishedKeys, saveKey } from './store.ts';

export const signingAlgorithms = ['ES256', 'RS256'] as const;

export type SigningKeys = {
  /** With private parts, for the engine; of each algorithm the first signs. */
  private: { keys: JWK[] };
  public: { keys: JWK[] };
};

const sealContext = 'signing_keys';

export async function loadSigningKeys({ db, seal }: { db: Database; seal: Seal }): Promise<SigningKeys> {
  const known = await publishedKeys(db);
  const isComplete = signingAlgorithms.every((alg) => known.some((key) => key.alg === alg));
  const rows = isComplete ? known : await makeMissing({ db, seal });
  return {
    private: { keys: rows.map((row) => JSON.parse(seal.open(row.private_sealed, sealContext))) },
    public: { keys: rows.map((row) => row.public_jwk) },
  };
}

async function makeMissing({ db, seal }: { db: Database; seal: Seal }): Promise<KeyRow[]> {
  return db.transaction(async (trx) => {
    await lockKeys(trx);
    const known = await publishedKeys(trx);
    for (const alg of signingAlgorithms) {
      if (!known.some((key) => key.alg === alg)) await saveKey(trx, await generate(seal, alg));
    }
    return publishedKeys(trx);
  });
}

async function generate(seal: Seal, alg: string): Promise<KeyRow> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const public_jwk: JWK = { ...(await exportJWK(publicKey)), alg, use: 'sig' };
  const kid = await calculateJwkThumbprint(public_jwk);
  const private_jwk = { ...(await exportJWK(privateKey)), alg, use: 'sig', kid };
  return {
    kid,
    alg,
    public_jwk: { ...public_jwk, kid },
    private_sealed: seal.seal(JSON.stringify(private_jwk), sealContext),
  };
}
