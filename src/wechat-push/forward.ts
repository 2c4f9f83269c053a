/**
 * WeChat knows one push address for an app, and it is usually taken: the company's other system gets every verified push as it came
 * (query, bytes, content type), and what it answers in time is handed back as it is. Nothing of ours depends on it.
 */
import { callUpstream } from '../connectors/upstream.ts';
import type { Logger } from '../log.ts';

/** Longer is no reply that WeChat takes. */
const largestReply = 65_536;

export type PushRequest = { querystring: string; type: string; bytes: Buffer; signal: AbortSignal };
export type Reply = { type: string; bytes: Buffer };
export type ForwardOutcome = 'answered' | 'failed';
export type ForwardServices = { log: Logger; countForward(outcome: ForwardOutcome): void };

/** Undefined when there is no reply to pass on. Never throws. */
export async function forwardPush(
  { log, countForward }: ForwardServices,
  { appid, push_forward_url: address }: { appid: string; push_forward_url: string | null },
  { querystring, type, bytes, signal }: PushRequest,
): Promise<Reply | undefined> {
  if (!address) return undefined;
  const url = new URL(address);
  // As WeChat sent it, to the letter: its signature is checked there again. What the operator's address holds stays before it.
  const href = `${url.origin}${url.pathname}${url.search ? `${url.search}&` : '?'}${querystring}`;
  const answer = await callUpstream({
    base: address,
    url: new URL(href),
    method: 'POST',
    headers: type ? { 'content-type': type } : {},
    body: bytes,
    signal,
  });
  // A redirect is not followed: what the operator's system names next is not what the operator named (threat F12).
  const isReply = answer.ok && answer.status >= 200 && answer.status < 300 && answer.bytes.length <= largestReply;
  countForward(isReply ? 'answered' : 'failed');
  if (isReply) return { type: answer.type, bytes: answer.bytes };
  const reason = answer.ok ? `HTTP ${answer.status}` : answer.reason;
  log.warn({ appid, host: url.host, reason }, 'wechat: a push was not taken by the system it is forwarded to');
  return undefined;
}
