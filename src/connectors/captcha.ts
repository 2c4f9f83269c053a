/**
 * The captcha of our own: a proof of work (the ALTCHA protocol, version 2). The browser searches for the counter behind a hash, a
 * second or two of its time; nothing foreign is loaded, nobody looks at pictures, and nothing about the person is read. It makes
 * thousands of codes cost thousands of seconds. It does not tell people from programs: the limits hold behind it.
 *
 * A challenge is signed and carries its end, so it is stored nowhere; what is kept is that it was used (threat B7).
 */
import { createChallenge, randomInt, verifySolution } from 'altcha-lib';
import { deriveKey } from 'altcha-lib/algorithms/sha';
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import { AppError } from '../errors.ts';
import type { Limit, Limits } from '../http/limits.ts';
import type { Seal } from '../seal.ts';
import type { Captcha } from './contract.ts';

/** Long enough to type a number again, too short to keep a stock of solutions. */
const seconds = 600;
/** Hashes until the counter is met: a known end, so that an old phone is not unlucky for a minute. */
const work = { least: 200_000, most: 600_000 };
const used: Limit = { name: 'captcha_used', points: 1, seconds: seconds + 60 };
/** A real one has 700 characters. */
const longest = 2_000;

const payload = z.object({
  challenge: z.object({
    parameters: z.looseObject({
      algorithm: z.literal('SHA-256'),
      cost: z.literal(1),
      nonce: z.string(),
      salt: z.string(),
      keyLength: z.number(),
      keyPrefix: z.string(),
      keySignature: z.string(),
      expiresAt: z.number(),
    }),
    signature: z.string(),
  }),
  solution: z.object({ counter: z.number(), derivedKey: z.string() }),
});

export function createProofOfWork({ seal, limits, clock }: { seal: Seal; limits: Limits; clock: Clock }): Captcha {
  const secrets = {
    hmacSignatureSecret: seal.derive('captcha/1').toString('base64url'),
    hmacKeySignatureSecret: seal.derive('captcha key/1').toString('base64url'),
  };
  return {
    async challenge() {
      const expiresAt = Math.floor(clock.now().getTime() / 1000) + seconds;
      const counter = randomInt(work.most, work.least);
      return {
        ...(await createChallenge({ ...secrets, algorithm: 'SHA-256', cost: 1, deriveKey, counter, expiresAt })),
      };
    },
    async verify(text) {
      const sent = readPayload(text);
      if (!sent || sent.challenge.parameters.expiresAt * 1000 < clock.now().getTime()) return false;
      const { verified } = await verifySolution({ ...secrets, ...sent, deriveKey });
      return verified && isFirstUse(limits, sent.challenge.parameters.nonce);
    },
  };
}

/** As ALTCHA's own clients send it, in base64; as plain JSON from programs that have no base64. */
function readPayload(text: string) {
  if (text.length > longest) return undefined;
  try {
    const json = text.startsWith('{') ? text : Buffer.from(text, 'base64').toString('utf8');
    return payload.safeParse(JSON.parse(json)).data;
  } catch {
    return undefined;
  }
}

/** One solution is one code, over all processes. */
async function isFirstUse(limits: Limits, nonce: string): Promise<boolean> {
  try {
    await limits.spend(used, nonce);
    return true;
  } catch (error) {
    if (error instanceof AppError && error.code === 'too_many_requests') return false;
    throw error;
  }
}
