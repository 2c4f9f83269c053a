/** A sandbox on free ports with a clock that tests move, and short ways to speak to it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { createLogger } from '../../src/log.ts';
import { createSandbox, sandboxApps } from '../../src/sandbox/sandbox.ts';

export type Json = Record<string, unknown>;
export type Answered = { status: number; type: string; body: Json };

/** The seeded apps as a call names itself. */
export const apps = {
  miniprogram: credentials(sandboxApps.miniprogram),
  website: credentials(sandboxApps.website),
  official_account: credentials(sandboxApps.official_account),
};
function credentials({ appid, secret }: { appid: string; secret: string }) {
  return { appid, secret };
}

export const log = createLogger({ level: 'silent' });

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'heyi-sandbox-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

type WorldOptions = { dataDir?: string; heyiUrl?: string; demoUrl?: string };

export async function startWorld({ dataDir = temporaryFolder(), heyiUrl, demoUrl }: WorldOptions = {}) {
  const clock = { offset: 0, stopped: 0, now: () => new Date((clock.stopped || Date.now()) + clock.offset) };
  const sandbox = createSandbox({
    port: 0,
    dataDir,
    clock,
    log,
    heyiUrl,
    demoUrl,
    pushTiming: { answer_ms: 300, pause_ms: 20 },
  });
  const { url, smtpPort } = await sandbox.start();
  afterAll(() => sandbox.stop());

  const call = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const answer = await fetch(`${url}${path}`, {
      method,
      headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await answer.text();
    return { status: answer.status, type: answer.headers.get('content-type') ?? '', body: JSON.parse(text) as Json };
  };
  const wechat = (path: string, query: Record<string, string | undefined> = {}) => {
    const given = Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined);
    return call('GET', `/api.weixin.qq.com/${path}?${new URLSearchParams(given)}`);
  };
  const code = async (person: string, kind: 'login-code' | 'phone-code', appid: string = apps.miniprogram.appid) =>
    String((await call('POST', `/people/${person}/${kind}`, { appid })).body.code);
  const appToken = async (app: { appid: string; secret: string } = apps.miniprogram) => {
    const { body } = await call('POST', '/api.weixin.qq.com/cgi-bin/stable_token', {
      grant_type: 'client_credential',
      ...app,
    });
    return String(body.access_token);
  };
  const newPerson = async (nickname: string, phone?: string) =>
    String((await call('POST', '/people', { nickname, phone })).body.person_id);
  return {
    url,
    smtpPort,
    dataDir,
    sandbox,
    call,
    wechat,
    code,
    appToken,
    newPerson,
    /** What is done while no time passes for the sandbox. */
    atOnce: async <T>(work: () => Promise<T>): Promise<T> => {
      clock.stopped = Date.now();
      return work().finally(() => {
        clock.stopped = 0;
      });
    },
    /** Lets time pass for the sandbox. */
    pass: (ms: number) => {
      clock.offset += ms;
    },
    now: () => clock.now(),
  };
}
export type World = Awaited<ReturnType<typeof startWorld>>;

export const minute = 60_000;
export const hour = 60 * minute;
