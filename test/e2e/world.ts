/** Everything that `npm start` brings up, as processes and ports of its own: Heyi, the sandbox, the demo. Torn down with the file. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, inject } from 'vitest';
import { projectRoot } from '../../src/config.ts';
import { testDatabase } from '../helpers/database.ts';
import { freePorts } from '../helpers/ports.ts';

export type World = {
  heyi: string;
  sandbox: string;
  demo: string;
  /** The newest code that was sent to this number. */
  codeFor(to: string): Promise<string>;
  /** A person with a WeChat account. */
  addPerson(nickname: string, phone?: string): Promise<string>;
  sandboxPost(path: string, body: unknown): Promise<Record<string, unknown>>;
  /** What the management API knows, by the demo's machine client. */
  api(path: string): Promise<Record<string, unknown>>;
  apiPost(path: string, body: unknown): Promise<Record<string, unknown>>;
};

export async function startWorld(): Promise<World> {
  const { url } = await testDatabase();
  const [port, sandboxPort, demoPort] = await freePorts(3);
  const dataDir = mkdtempSync(join(tmpdir(), 'heyi-e2e-'));
  const child = spawn(process.execPath, ['src/main.ts', '--json'], {
    cwd: projectRoot,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      PORT: String(port),
      SANDBOX_PORT: String(sandboxPort),
      DEMO_PORT: String(demoPort),
      DATABASE_URL: url,
      DATA_DIR: dataDir,
      LOG_LEVEL: 'error',
      NODE_COMPILE_CACHE: inject('compiled'),
    },
  });
  afterAll(async () => {
    await stop(child);
    rmSync(dataDir, { recursive: true, force: true });
  });
  await ready(child);
  return describeWorld(`http://localhost:${port}`, `http://localhost:${sandboxPort}`, `http://localhost:${demoPort}`);
}

/** What a test does to a running product at these addresses. */
export function describeWorld(heyi: string, sandbox: string, demo: string): World {
  const json = { accept: 'application/json', 'content-type': 'application/json' };
  const sandboxPost: World['sandboxPost'] = async (path, body) =>
    answered(await fetch(`${sandbox}${path}`, { method: 'POST', headers: json, body: JSON.stringify(body) }));
  const asMachine = async () => {
    const { access_token } = await answered(
      await fetch(`${heyi}/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${btoa('demo-backend:demo-backend-secret')}` },
        body: new URLSearchParams({ grant_type: 'client_credentials', resource: `${heyi}/api` }),
      }),
    );
    return { authorization: `Bearer ${access_token}` };
  };
  return {
    heyi,
    sandbox,
    demo,
    sandboxPost,
    async codeFor(to) {
      const { messages } = await answered<{ messages: { code: string }[] }>(
        await fetch(`${sandbox}/inbox?to=${encodeURIComponent(to)}`, { headers: json }),
      );
      const [message] = messages;
      if (!message) throw new Error('no message was sent');
      return message.code;
    },
    async addPerson(nickname, phone) {
      return String((await sandboxPost('/people', { nickname, ...(phone && { phone }) })).person_id);
    },
    api: async (path) => answered(await fetch(`${heyi}/api/v1${path}`, { headers: await asMachine() })),
    apiPost: async (path, body) =>
      answered(
        await fetch(`${heyi}/api/v1${path}`, {
          method: 'POST',
          headers: { ...(await asMachine()), ...json },
          body: JSON.stringify(body),
        }),
      ),
  };
}

async function answered<T = Record<string, unknown>>(answer: Response): Promise<T> {
  const body = await answer.text();
  if (!answer.ok) throw new Error(`${answer.url} answered ${answer.status}: ${body}`);
  return JSON.parse(body);
}

async function ready(child: ChildProcess): Promise<void> {
  if (!child.stdout) throw new Error('no output');
  const exited = once(child, 'exit').then(([code]) => {
    throw new Error(`the server ended with ${code} before it was ready`);
  });
  exited.catch(() => {});
  const lines = createInterface({ input: child.stdout });
  const announced = new Promise<void>((resolve) => {
    lines.on('line', (line) => line.includes('"event":"ready"') && resolve());
  });
  await Promise.race([announced, exited]);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const cut = setTimeout(() => child.kill('SIGKILL'), 15_000);
  await gone;
  clearTimeout(cut);
}
