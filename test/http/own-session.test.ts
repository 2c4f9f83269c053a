import { afterAll, describe, expect, it } from 'vitest';
import { createOwnSession } from '../../src/http/own-session.ts';
import { createKoa, listen } from '../../src/http/server.ts';
import { createLogger } from '../../src/log.ts';
import { createSeal } from '../../src/seal.ts';

const minute = 60_000;
let now = Date.parse('2026-11-23T08:00:00Z');
const seal = createSeal('a secret of this test, long enough for it');
const session = createOwnSession(
  { seal, clock: { now: () => new Date(now) }, https: false },
  { cookie: 'heyi_part', path: '/' },
);

const koa = createKoa({ log: createLogger({ level: 'silent' }), trustProxy: false, https: false });
koa.use((ctx) => {
  if (ctx.path === '/begin') session.beginSession(ctx, { sub: 'somebody', auth_time: 1 });
  else if (ctx.path === '/renew') session.renewSession(ctx);
  ctx.body = { sub: session.readSession(ctx)?.sub ?? null };
});
const listener = await listen(koa, { port: 0, host: '127.0.0.1' });
afterAll(() => listener.stop());

async function visit(path: string, cookie = ''): Promise<{ sub: string | null; cookie: string }> {
  const answer = await fetch(`http://127.0.0.1:${listener.port}${path}`, { headers: { cookie } });
  const { sub } = (await answer.json()) as { sub: string | null };
  return { sub, cookie: answer.headers.get('set-cookie')?.split(';')[0] ?? cookie };
}

describe('D21: the session of a part of ours', () => {
  it('ends after 30 idle minutes', async () => {
    const { cookie } = await visit('/begin');
    now += 29 * minute;
    expect((await visit('/read', cookie)).sub).toBe('somebody');
    now += 2 * minute;
    expect((await visit('/read', cookie)).sub).toBeNull();
  });

  it('ends 12 hours after the sign-in, however busy whoever holds the cookie is', async () => {
    let { cookie } = await visit('/begin');
    for (let spent = 0; spent < 12 * 60 - 20; spent += 20) {
      now += 20 * minute;
      cookie = (await visit('/renew', cookie)).cookie;
      expect((await visit('/read', cookie)).sub).toBe('somebody');
    }
    now += 21 * minute;
    expect((await visit('/read', cookie)).sub).toBeNull();
    expect((await visit('/read', (await visit('/renew', cookie)).cookie)).sub).toBeNull();
  });
});
