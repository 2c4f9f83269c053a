import { createRequire } from 'node:module';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { createProofOfWork } from '../../src/connectors/captcha.ts';
import { createDatabase } from '../../src/database.ts';
import { createLimits } from '../../src/http/limits.ts';
import { createSeal } from '../../src/seal.ts';
import { testDatabase } from '../helpers/database.ts';
import { solveCaptcha, testServices } from './services.ts';

const { db, url } = await testDatabase();
const services = testServices(db);
const { captcha } = services;

const changed = (solution: string, change: (sent: Sent) => void) => {
  const sent: Sent = JSON.parse(Buffer.from(solution, 'base64').toString());
  change(sent);
  return Buffer.from(JSON.stringify(sent)).toString('base64');
};
type Sent = {
  challenge: { parameters: Record<string, unknown>; signature: string };
  solution: { counter: number; derivedKey: string };
};

describe('B7: the captcha of our own', () => {
  it('takes what the script of the page finds, once', async () => {
    const solution = solveCaptcha(await captcha.challenge());
    expect(await captcha.verify(solution)).toBe(true);
    expect(await captcha.verify(solution)).toBe(false);
  });

  it('takes one solution once over two processes, of twenty at the same instant', async () => {
    const other = createDatabase({ url });
    const second = createProofOfWork({ ...services, limits: createLimits({ db: other, seal: services.seal }) });
    const solution = solveCaptcha(await captcha.challenge());
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => (n % 2 ? captcha : second).verify(solution)),
    );
    expect(answers.filter(Boolean)).toHaveLength(1);
    await other.destroy();
  });

  it('costs so many hashes that a program has something to do', async () => {
    for (let n = 0; n < 3; n++) {
      const { solution }: Sent = JSON.parse(Buffer.from(solveCaptcha(await captcha.challenge()), 'base64').toString());
      expect(solution.counter).toBeGreaterThanOrEqual(200_000);
      expect(solution.counter).toBeLessThanOrEqual(600_000);
    }
  });

  it('refuses an easier challenge, a later end, another signature, and a solution of another challenge', async () => {
    const solution = solveCaptcha(await captcha.challenge());
    const other: Sent = JSON.parse(Buffer.from(solveCaptcha(await captcha.challenge()), 'base64').toString());
    const forgeries = [
      changed(solution, ({ challenge }) => Object.assign(challenge.parameters, { keyPrefix: '00' })),
      changed(solution, ({ challenge }) => Object.assign(challenge.parameters, { expiresAt: 4_000_000_000 })),
      changed(solution, (sent) => Object.assign(sent.challenge, { signature: '0'.repeat(64) })),
      changed(solution, (sent) => Object.assign(sent.solution, { derivedKey: other.solution.derivedKey })),
      changed(solution, (sent) => Object.assign(sent.solution, { derivedKey: '' })),
    ];
    for (const forgery of forgeries) expect(await captcha.verify(forgery)).toBe(false);
    expect(await captcha.verify(solution)).toBe(true);
  });

  it('refuses one made with another secret', async () => {
    const stranger = createProofOfWork({ ...services, seal: createSeal('another secret of thirty-two characters') });
    expect(await captcha.verify(solveCaptcha(await stranger.challenge()))).toBe(false);
  });

  it('ends after ten minutes', async () => {
    const solution = solveCaptcha(await captcha.challenge());
    const late = createProofOfWork({ ...services, clock: { now: () => new Date(Date.now() + 601_000) } });
    expect(await late.verify(solution)).toBe(false);
  });

  it.each([
    ['nothing', ''],
    ['text', 'solved'],
    ['JSON of another shape', Buffer.from('{"challenge":null,"solution":[]}').toString('base64')],
    ['a list of itself', Buffer.from('['.repeat(1_000)).toString('base64')],
    ['a megabyte', 'A'.repeat(1_000_000)],
  ])('refuses %s without a fault', async (_what, solution) => {
    expect(await captcha.verify(solution)).toBe(false);
  });
});

describe('in a mini-program', () => {
  afterAll(() => void vi.unstubAllGlobals());
  const { createHeyi } = createRequire(import.meta.url)('../../sdk/miniprogram/lib/index.js');

  it('the SDK solves it on the way, without a hash function or base64 of its own', async () => {
    const requests: Record<string, string>[] = [];
    const storage = new Map<string, unknown>();
    const answer = async (data: Record<string, string>) => {
      requests.push(data);
      if (data.captcha && (await captcha.verify(data.captcha)))
        return { statusCode: 200, data: { otp_id: 'sms_1', resend_after: 60, expires_in: 300 } };
      return { statusCode: 400, data: { error: 'captcha_required', captcha: await captcha.challenge() } };
    };
    vi.stubGlobal('wx', {
      getStorageSync: (key: string) => storage.get(key) ?? '',
      setStorageSync: (key: string, value: unknown) => void storage.set(key, value),
      removeStorageSync: (key: string) => void storage.delete(key),
      request: ({ data, success }: { data: Record<string, string>; success(answer: object): void }) =>
        void answer(data).then(success),
    });
    const heyi = createHeyi({ issuer: 'https://id.example.com', clientId: 'mini', writeKey: 'key' });
    expect(await heyi.sendCode({ to: '+8613800138000' })).toMatchObject({ otp_id: 'sms_1' });
    expect(requests).toMatchObject([
      { to: '+8613800138000' },
      { to: '+8613800138000', captcha: expect.stringMatching(/^\{/) },
    ]);
    vi.unstubAllGlobals();
  });
});
