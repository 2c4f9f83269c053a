/**
 * One bounded HTTP request to a service outside the company. Reads at most so many bytes in at most so many milliseconds,
 * and says of a failure whether the request can have arrived: what costs money or spends a code is never repeated blindly.
 *
 * URLs and bodies hold secrets, so errors of the HTTP client are reduced to their short code and never kept as a cause.
 */
import { Agent, request } from 'undici';

export type UpstreamRequest = {
  /** The base address of the service: what the breaker counts by. */
  base: string;
  url: URL;
  method: 'GET' | 'POST';
  headers?: Record<string, string>;
  body?: string | Buffer;
  /** Shared by the attempts of one call, so that retries do not add up to more than the caller waits for. */
  signal: AbortSignal;
};

export type UpstreamAnswer =
  | { ok: true; status: number; text: string; bytes: Buffer; type: string }
  /** `reason` is a short code such as ECONNRESET; `arrived` is false only when the request was certainly never sent. */
  | { ok: false; reason: string; arrived: boolean };

/** Longest time any call to the outside may take, retries included (threat C14). */
export const upstreamTimeout = 5_000;

const largestAnswer = 256 * 1024;

const agent = new Agent({
  connect: { timeout: 3_000 },
  headersTimeout: upstreamTimeout,
  bodyTimeout: upstreamTimeout,
  // Shorter than the idle time of common gateways: a socket they have just closed would look like a reset.
  keepAliveTimeout: 4_000,
});

export async function callUpstream(call: UpstreamRequest): Promise<UpstreamAnswer> {
  if (isOpen(call.base)) return { ok: false, reason: circuitOpen, arrived: false };
  const answer = await ask(call);
  if (!answer.ok && timedOut.test(answer.reason)) countSilence(call.base);
  else silences.delete(call.base);
  return answer;
}

async function ask({ url, method, headers, body, signal }: UpstreamRequest): Promise<UpstreamAnswer> {
  try {
    const answer = await request(url, { method, headers, body, signal, dispatcher: agent });
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of answer.body) {
      size += chunk.length;
      if (size > largestAnswer) return { ok: false, reason: 'ANSWER_TOO_LARGE', arrived: true };
      chunks.push(chunk);
    }
    const bytes = Buffer.concat(chunks);
    const type = String(answer.headers['content-type'] ?? '');
    return { ok: true, status: answer.statusCode, text: bytes.toString('utf8'), bytes, type };
  } catch (error) {
    const reason = reasonOf(error);
    return { ok: false, reason, arrived: !neverSent.test(reason) };
  }
}

/** The reason of a call that was not made, because the service has been silent for long. */
export const circuitOpen = 'CIRCUIT_OPEN';

/**
 * The breaker (threats B11, C14): after ten time-outs in a row, one call in two seconds goes out to see, and the others fail at
 * once instead of holding a person for five seconds each. What fails fast by itself (a reset, an error page) is no reason to stop
 * asking. Each process learns it for itself.
 */
const silencesAllowed = 10;
const probeEvery = 2_000;
const timedOut = /^(TIMEOUT|ETIMEDOUT|UND_ERR_(CONNECT|HEADERS|BODY)_TIMEOUT)$/;
const silences = new Map<string, { count: number; next_probe: number }>();

function isOpen(base: string): boolean {
  const silence = silences.get(base);
  if (!silence || silence.count < silencesAllowed) return false;
  if (performance.now() < silence.next_probe) return true;
  silence.next_probe = performance.now() + probeEvery;
  return false;
}

function countSilence(base: string): void {
  const count = (silences.get(base)?.count ?? 0) + 1;
  silences.set(base, { count, next_probe: performance.now() + probeEvery });
}

const neverSent =
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT|CERT_.*|ERR_TLS.*|ERR_SSL.*|EPROTO|DEPTH_ZERO.*|SELF_SIGNED.*|UNABLE_TO.*)$/;

function reasonOf(error: unknown): string {
  const { name, code } = error as { name?: string; code?: unknown };
  if (name === 'TimeoutError' || name === 'AbortError') return 'TIMEOUT';
  return typeof code === 'string' ? code : 'NETWORK';
}

/** Settings' base address: https, or http to this machine (the sandbox, a side-car). Secrets travel in these requests. */
export function isSafeBase(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || url.search || url.hash || url.username) return false;
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname));
}

export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i.test(host);
}
