/**
 * Codes of six digits that sms and email send. Owns their life: made, limited, stored as a keyed hash, tried, spent. What carries
 * a code to a person is the caller's.
 *
 * Guessing (threat B1): five tries a code and ten codes a day a recipient are at most 50 in 1,000,000 a day against one person,
 * from however many addresses.
 */
import { randomInt } from 'node:crypto';
import { type AppError, fail } from '../errors.ts';
import type { ConnectorServices, Started, StartInput, VerifyInput } from './contract.ts';
import { type Caps, countProven, countSend, spacing } from './send-limits.ts';
import { deleteCode, insertCode, purgeCodes, readTries, tryCode } from './store.ts';

/** ASVS 5.0 6.5.5 allows ten minutes. */
export const codeTtl = 300;
export const triesAllowed = 5;

/** How a sending ended. `unknown`: the provider was asked but did not answer, so the person may or may not get the code. */
export type Delivery =
  /** `message_id`: the provider's, by which it reports what became of the message. */
  | { result: 'sent'; provider?: string; message_id?: string | undefined }
  | { result: 'failed' | 'unknown'; error: AppError };

export type CodeMessage = { otp_id: string; code: string };

export type CodeRequest = {
  channel: 'sms' | 'email';
  /** Canonical: also what verify proves. */
  recipient: string;
  /** What the per-recipient limits count by; the recipient unless given. */
  limited_as?: string;
  masked_to: string;
  caps: Caps;
  /** Of a test number; a fresh one otherwise. */
  code?: string;
  send(message: CodeMessage): Promise<Delivery>;
};

const sealContext = 'one_time_codes';

export async function startCode(
  services: ConnectorServices,
  input: StartInput,
  { channel, recipient, limited_as = recipient, masked_to, caps, code = newCode(), send }: CodeRequest,
): Promise<Started> {
  const { db, seal, log } = services;
  const { ip, captcha } = input;
  const count = await countSend(services, { channel, recipient: limited_as, ip, caps, captcha });
  // Handed to the browser: unguessable matters here, not order.
  const message = { otp_id: crypto.randomUUID(), code };
  let delivery: Delivery;
  try {
    await purgeCodes(db);
    await insertCode(
      db,
      {
        id: message.otp_id,
        channel,
        recipient_hash: seal.hash(recipient, `${sealContext} ${channel}`),
        recipient_sealed: seal.seal(recipient, sealContext),
        purpose: input.purpose,
        binding_hash: seal.hash(input.binding, `${sealContext} binding`),
        code_hash: hashCode(services, message),
      },
      codeTtl,
    );
    delivery = await send(message);
  } catch (error) {
    await undo(services, message, count.refund);
    throw error;
  }
  const provider = delivery.result === 'sent' ? delivery.provider : undefined;
  log.info({ connector: channel, otp_id: message.otp_id, result: delivery.result, provider }, 'connectors: code');
  if (delivery.result === 'sent')
    return { otp_id: message.otp_id, resend_after: spacing, expires_in: codeTtl, masked_to };
  // The row goes in both cases: the person sees an error and asks again, and the code before this one is good again.
  await undo(services, message, delivery.result === 'failed' ? count.refund : count.refundSpacing);
  throw delivery.error;
}

const newCode = () => String(randomInt(1_000_000)).padStart(6, '0');

async function undo({ db }: ConnectorServices, message: CodeMessage, refund: () => Promise<void>): Promise<void> {
  await deleteCode(db, message.otp_id);
  await refund();
}

/** @returns the recipient whose code was right. @throws code_wrong | code_expired | code_tries_spent */
export async function verifyCode(
  services: ConnectorServices,
  channel: 'sms' | 'email',
  input: VerifyInput,
  limitedAs = (recipient: string) => recipient,
): Promise<string> {
  const { db, seal } = services;
  const owner = {
    id: input.otp_id,
    channel,
    purpose: input.purpose,
    binding_hash: seal.hash(input.binding, `${sealContext} binding`),
  };
  if (!/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(input.otp_id)) throw fail('code_wrong');
  const code = input.code.slice(0, 40).normalize('NFKC').replace(/\s/g, '');
  const code_hash = hashCode(services, { otp_id: input.otp_id, code });
  const tried = await tryCode(db, { ...owner, code_hash }, triesAllowed);
  if (tried?.spent_at) {
    const recipient = seal.open(tried.recipient_sealed, sealContext);
    await countProven(services.limits, { channel, recipient: limitedAs(recipient) });
    return recipient;
  }
  if (tried) throw fail(tried.tries < triesAllowed ? 'code_wrong' : 'code_tries_spent');
  const refused = await readTries(db, owner);
  // Another browser, another purpose, a made-up id: nothing was counted, and the answer is that of a wrong code (threat B4).
  if (!refused) throw fail('code_wrong');
  throw fail(refused.tries >= triesAllowed && !refused.spent_at ? 'code_tries_spent' : 'code_expired');
}

/** Bound to its id: equal codes of two people have different hashes, and no table of a million hashes serves twice (threat B10). */
function hashCode({ seal }: ConnectorServices, { otp_id, code }: CodeMessage): string {
  return seal.hash(`${otp_id.toLowerCase()} ${code}`, sealContext);
}
