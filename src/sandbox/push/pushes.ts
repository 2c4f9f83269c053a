/**
 * Sends an app's pushes to the address of its setting: signed anew for each attempt, up to three attempts of five seconds, and
 * everything that happened kept for people to look at (the newest 500, in memory).
 */
import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Clock } from '../../clock.ts';
import { sandboxApps } from '../constants.ts';
import type { PushSetting, WechatApp } from '../state.ts';
import { sign } from './crypto.ts';
import { type Message, type Reply, readReply, wrap, write } from './message.ts';
import { type Problem, problem } from './problem.ts';

export type Attempt = { at: string; ms: number; status: number | null; answer: string } & Reply;
export type Push = {
  push_id: string;
  appid: string;
  /** The event's name, or the message's type. */
  event: string;
  url: string;
  mode: PushSetting['mode'];
  format: PushSetting['format'];
  /** In the clear, whatever the mode. */
  text: string;
  state: 'pending' | 'delivered' | 'failed';
  attempts: Attempt[];
};

export type Pushes = {
  /** Where the app's pushes go; undefined when it has no such address. */
  setting(app: WechatApp): PushSetting | undefined;
  /** Answers after the first attempt; further ones go on by themselves. Undefined: the app wants no pushes. */
  send(app: WechatApp, message: Message): Promise<Push | undefined>;
  /** The same push once more, as WeChat sends one whose thanks it missed. Undefined: there is no such push. */
  again(push_id: string): Promise<Push | undefined>;
  /** Newest first. */
  list(appid?: string): Push[];
  /** WeChat's check when the address is entered: what is wrong with it. */
  verify(setting: PushSetting): Promise<Problem | undefined>;
  stop(): Promise<void>;
};
export type PushTiming = { answer_ms: number; pause_ms: number };

const kept = 500;
const attemptsInAll = 3;
const shown = 4000;

type Options = { clock: Clock; heyiUrl: string | undefined; timing: PushTiming };

/** A push, and what it takes to send it once more. */
type Entry = { push: Push; app: WechatApp; setting: PushSetting; message: Message };

export function createPushes({ clock, heyiUrl, timing }: Options): Pushes {
  const entries: Entry[] = [];
  const stopping = new AbortController();
  const going = new Set<Promise<void>>();
  const request: Ask = (url, init) =>
    ask(url, init, AbortSignal.any([stopping.signal, AbortSignal.timeout(timing.answer_ms)]));
  const attempt = (entry: Entry) => deliver(entry, { clock, request });
  return {
    setting: (app) => settingOf(app, heyiUrl),
    async send(app, message) {
      const setting = settingOf(app, heyiUrl);
      if (!setting) return undefined;
      const entry = { push: newPush(app, setting, message), app, setting, message };
      entries.unshift(entry);
      entries.length = Math.min(entries.length, kept);
      await attempt(entry);
      const retries = retry(entry.push, timing.pause_ms, stopping.signal, () => attempt(entry));
      going.add(retries);
      retries.finally(() => going.delete(retries));
      return entry.push;
    },
    async again(push_id) {
      const entry = entries.find(({ push }) => push.push_id === push_id);
      if (entry) await attempt(entry);
      return entry?.push;
    },
    list: (appid) => entries.map(({ push }) => push).filter((push) => push.appid === (appid ?? push.appid)),
    verify: (setting) => verifyAddress(setting, { clock, request }),
    async stop() {
      stopping.abort();
      await Promise.all(going);
    },
  };
}

type Ask = (url: URL, init: RequestInit) => Promise<Answered>;
type Sending = { clock: Clock; request: Ask };

/** What makes each signature another one. */
function fresh(clock: Clock): { timestamp: string; nonce: string } {
  return { timestamp: String(Math.floor(clock.now().getTime() / 1000)), nonce: String(randomInt(1e8, 1e9)) };
}

async function deliver({ push, app, setting, message }: Entry, { clock, request }: Sending): Promise<void> {
  const { query, body } = wrap(message, { app, setting, ...fresh(clock) });
  const at = clock.now().toISOString();
  const startedAt = performance.now();
  const headers = { 'Content-Type': setting.format === 'json' ? 'application/json' : 'text/xml' };
  const { status, answer, problem } = await request(withQuery(setting.url, query), { method: 'POST', body, headers });
  const ms = Math.round(performance.now() - startedAt);
  const said = problem ? { outcome: 'failed' as const, ...problem } : readReply(answer, { app, setting });
  push.attempts.push({ at, ms, status, answer: answer.slice(0, shown), ...said });
  if (said.outcome !== 'failed') push.state = 'delivered';
  else if (push.state === 'pending' && push.attempts.length >= attemptsInAll) push.state = 'failed';
}

async function verifyAddress({ url, token }: PushSetting, { clock, request }: Sending): Promise<Problem | undefined> {
  const { timestamp, nonce } = fresh(clock);
  const echostr = String(randomBytes(6).readUIntBE(0, 6));
  const signature = sign([token, timestamp, nonce]);
  const found = await request(withQuery(url, { signature, timestamp, nonce, echostr }), {});
  if (found.problem) return found.problem;
  return found.answer === echostr ? undefined : problem('not_the_echostr', JSON.stringify(found.answer.slice(0, 80)));
}

async function retry(push: Push, pause_ms: number, signal: AbortSignal, attempt: () => Promise<void>): Promise<void> {
  while (push.state === 'pending' && !signal.aborted) {
    // Thrown away: the sandbox is being stopped.
    await pause(pause_ms, undefined, { signal }).catch(() => undefined);
    if (!signal.aborted) await attempt();
  }
}

function settingOf(app: WechatApp, heyiUrl: string | undefined): PushSetting | undefined {
  if (app.push !== undefined) return app.push ?? undefined;
  const seeded = Object.values(sandboxApps).find(({ appid }) => appid === app.appid);
  if (!seeded || !heyiUrl) return undefined;
  const format = app.kind === 'miniprogram' ? 'json' : 'xml';
  return { url: `${heyiUrl}/wechat/${app.appid}/push`, ...seeded.push, mode: 'secure', format };
}

function newPush(app: WechatApp, { url, mode, format }: PushSetting, message: Message): Push {
  return {
    push_id: randomUUID(),
    appid: app.appid,
    event: String(message.Event ?? message.MsgType),
    url,
    mode,
    format,
    text: write(message, format),
    state: 'pending',
    attempts: [],
  };
}

function withQuery(address: string, query: Record<string, string>): URL {
  const url = new URL(address);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  return url;
}

type Answered = { status: number | null; answer: string; problem?: Problem };

async function ask(url: URL, init: RequestInit, signal: AbortSignal): Promise<Answered> {
  try {
    const headers = { ...init.headers, 'User-Agent': 'Mozilla/4.0' };
    const response = await fetch(url, { ...init, headers, redirect: 'manual', signal });
    const answer = await response.text();
    const { status } = response;
    return status === 200 ? { status, answer } : { status, answer, problem: problem('http_status', String(status)) };
  } catch (error) {
    const isLate = error instanceof Error && error.name === 'TimeoutError';
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const why = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
    return { status: null, answer: '', problem: isLate ? problem('late') : problem('unreachable', why) };
  }
}
