import { describe, expect, it, vi } from 'vitest';
import { callUpstream, isSafeBase } from '../../src/connectors/upstream.ts';
import { fakeServer } from './fakes.ts';

const call = (base: string) =>
  callUpstream({ base, url: new URL(base), method: 'GET', signal: AbortSignal.timeout(300) });
const calls = (base: string, count: number) => Promise.all(Array.from({ length: count }, () => call(base)));

describe('C14: the breaker', () => {
  it('lets one call out in two seconds after ten time-outs in a row, and closes with the first answer', async () => {
    const service = await fakeServer(() => 'hang');
    for (const answer of await calls(service.base, 10))
      expect(answer).toMatchObject({ reason: 'TIMEOUT', arrived: true });
    expect(await call(service.base)).toEqual({ ok: false, reason: 'CIRCUIT_OPEN', arrived: false });
    expect(service.seen).toHaveLength(10);

    service.behave(() => ({ status: 502, body: 'an error page is an answer' }));
    const now = performance.now();
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now + 2_050);
    expect((await calls(service.base, 3)).filter(({ ok }) => ok)).toHaveLength(1);
    expect((await calls(service.base, 3)).filter(({ ok }) => ok)).toHaveLength(3);
    clock.mockRestore();
  });
  it('does not mind what fails fast, counts time-outs in a row only, and each service for itself', async () => {
    const service = await fakeServer(() => 'reset');
    for (let n = 0; n < 25; n++) await call(service.base);
    expect(service.seen).toHaveLength(25);
    service.behave(() => 'hang');
    await calls(service.base, 9);
    service.behave(() => ({ body: '{}' }));
    await call(service.base);
    service.behave(() => 'hang');
    await calls(service.base, 9);
    service.behave(() => ({ body: '{}' }));
    expect(await call(service.base)).toMatchObject({ ok: true });
    const other = await fakeServer(() => 'hang');
    await calls(other.base, 11);
    expect(await call(service.base)).toMatchObject({ ok: true });
  });
});

describe('a base address', () => {
  it.each([
    ['https://api.weixin.qq.com', true],
    ['https://proxy.example.com/wechat', true],
    ['http://localhost:3200/api.weixin.qq.com', true],
    ['http://127.0.0.1:3200', true],
    ['http://[::1]:3200', true],
    ['http://api.weixin.qq.com', false],
    ['http://localhost.example.com', false],
    ['http://127.0.0.1.example.com', false],
    ['https://user:secret@api.example.com', false],
    ['https://api.example.com?secret=1', false],
    ['file:///etc/passwd', false],
    ['', false],
  ])('%s may carry secrets: %s', (base, safe) => {
    expect(isSafeBase(base)).toBe(safe);
  });
});
