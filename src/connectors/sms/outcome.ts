/** How a call to a provider ended, and what becomes of it: a delivery, an error for the person, a line for the operator. */
import { type AppError, fail } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import type { Delivery } from '../one-time-code.ts';
import type { UpstreamAnswer } from '../upstream.ts';

/** `maybe_sent`: no OK was read, and yet a message may be on its way. */
export type Outcome = {
  code: string;
  text?: string;
  request_id?: string;
  /** The provider's id of the message, by which it reports later. */
  message_id?: string;
  maybe_sent: boolean;
};

/** `read` finds the provider's own words in its JSON; undefined when they are not there. */
export function readOutcome(answer: UpstreamAnswer, read: (body: unknown) => Outcome | undefined): Outcome {
  if (!answer.ok) return { code: answer.reason, maybe_sent: answer.arrived };
  try {
    const outcome = read(JSON.parse(answer.text));
    if (outcome) return outcome;
  } catch {
    // Not JSON: an error page of something on the way.
  }
  return { code: `HTTP_${answer.status}`, maybe_sent: answer.status < 400 || answer.status >= 500 };
}

/** Faults of the way to any provider. */
const ofTheWay = /^(TIMEOUT|NETWORK|HTTP_.*|E[A-Z_]+|UND_ERR.*|ANSWER_TOO_LARGE|CIRCUIT_OPEN)$/;

export type Provider = {
  name: string;
  /** The code of a message that was accepted. */
  accepted: string;
  /** What the person can do something about. Everything else is the operator's, and the person may try again. */
  personal(outcome: Outcome): AppError | undefined;
  /** Faults of its own that pass by themselves. */
  passing: RegExp;
};

export function toDelivery(
  { log }: { log: Logger },
  { name, accepted, personal, passing }: Provider,
  outcome: Outcome,
): Delivery {
  const { code, request_id, message_id, maybe_sent } = outcome;
  if (code === accepted) return { result: 'sent', provider: name, message_id };
  const result = maybe_sent ? 'unknown' : 'failed';
  const mine = personal(outcome);
  if (mine) return { result, error: mine };
  // The provider's own text may quote the number or a parameter, so the log gets its code and request id only.
  const entry = { connector: 'sms', provider: name, fault: code, request_id };
  const passes = passing.test(code) || ofTheWay.test(code);
  if (passes) log.warn(entry, 'sms: the provider does not answer as it should');
  else log.error(entry, 'sms: check the account, signature, template and keys of this connector');
  return { result, error: fail('upstream_unavailable', { retryAfterSeconds: passes ? 5 : 60 }) };
}
