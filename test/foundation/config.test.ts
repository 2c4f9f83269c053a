import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.ts';

const dataDir = mkdtempSync(join(tmpdir(), 'heyi-config-'));
afterAll(() => rmSync(dataDir, { recursive: true, force: true }));
const load = (environment: Record<string, string>) => loadConfig({ DATA_DIR: dataDir, ...environment });
const secret = 'x'.repeat(32);

describe('settings', () => {
  it('that are wrong are all told at once', () => {
    const wrong = {
      PORT: 'eighty',
      PUBLIC_URL: 'https://id.example.com/path',
      ROLES: 'web,cook',
      TRUST_PROXY: 'yes',
      HEYI_SECRET: 'short',
      SANDBOX: 'maybe',
    };
    for (const name of Object.keys(wrong)) expect(() => load(wrong)).toThrow(new RegExp(`- .*${name}`));
  });

  it.each([
    ['no secret', { PUBLIC_URL: 'https://id.example.com' }, /HEYI_SECRET MUST/],
    ['http', { PUBLIC_URL: 'http://id.example.com', HEYI_SECRET: secret }, /MUST be https/],
    ['the sandbox', { PUBLIC_URL: 'https://id.example.com', HEYI_SECRET: secret, SANDBOX: 'on' }, /SANDBOX MUST NOT/],
  ])('production refuses %s', (_title, environment, message) => {
    expect(() => load({ NODE_ENV: 'production', ...environment })).toThrow(message);
  });

  it.each([
    ['a loopback address', {}, true],
    ['a public address', { PUBLIC_URL: 'https://id.example.com' }, false],
    ['a public address, switched on', { PUBLIC_URL: 'https://id.example.com', SANDBOX: 'on' }, true],
    ['a loopback address, switched off', { SANDBOX: 'off' }, false],
    ['production', { NODE_ENV: 'production', PUBLIC_URL: 'https://localhost', HEYI_SECRET: secret }, false],
  ])('the sandbox at %s', (_title, environment, on) => {
    expect(load(environment as Record<string, string>).sandbox).toBe(on);
  });

  it('warns of a sandbox that others can reach', () => {
    expect(load({ PUBLIC_URL: 'https://id.example.com', SANDBOX: 'on' }).warnings).toHaveLength(1);
    expect(load({ HOST: '0.0.0.0' }).warnings).toEqual([
      expect.stringMatching(/HOST is 0\.0\.0\.0.*secrets are public/),
    ]);
    expect(load({ HOST: '0.0.0.0', SANDBOX: 'off' }).warnings).toEqual([]);
    for (const HOST of ['localhost', '127.0.0.1', '::1']) expect(load({ HOST }).warnings).toEqual([]);
    expect(load({}).warnings).toEqual([]);
  });

  it('keeps the secret it makes, for its owner alone', () => {
    const first = load({}).secret;
    expect(load({}).secret).toBe(first);
    expect(readFileSync(join(dataDir, 'secret'), 'utf8').trim()).toBe(first);
    expect(statSync(join(dataDir, 'secret')).mode & 0o077).toBe(0);
  });
});
