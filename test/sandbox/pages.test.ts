import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createTransport } from 'nodemailer';
import { describe, expect, test } from 'vitest';
import { projectRoot } from '../../src/config.ts';
import { startWorld } from './world.ts';

const { url, call, smtpPort } = await startWorld();
const html = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };
const read = async (path: string, headers: Record<string, string> = {}) =>
  (await fetch(`${url}${path}`, { headers: { ...html, ...headers } })).text();
const post = (path: string, fields: Record<string, string>) =>
  fetch(`${url}${path}`, {
    method: 'POST',
    body: new URLSearchParams(fields),
    redirect: 'manual',
    headers: { ...html, origin: url },
  });

describe('the overview', () => {
  test('speaks Chinese by default and English when asked, with no sentence left out', async () => {
    expect(await read('/')).toMatch(/<html lang="zh-CN">[\s\S]*合一沙箱[\s\S]*林小满/);
    for (const english of [await read('/?lang=en'), await read('/', { 'accept-language': 'en-GB,en;q=0.9' })]) {
      expect(english).toContain('<html lang="en">');
      expect(english).toContain('Simulated people');
    }
    for (const page of [await read('/'), await read('/?lang=en')]) expect(page).not.toMatch(/>\s*[a-z]+\.[a-z_.]+\s*</);
  });

  test('both languages have the same sentences, none empty', () => {
    const locales = JSON.parse(readFileSync(join(projectRoot, 'views/sandbox/locales.json'), 'utf8'));
    expect(Object.keys(locales.en)).toEqual(Object.keys(locales['zh-CN']));
    for (const language of ['zh-CN', 'en'])
      for (const sentence of Object.values(locales[language])) expect(sentence).not.toBe('');
  });

  test('its form adds a person, and says what is wrong with a phone', async () => {
    const added = await post('/page/people?lang=en', { nickname: '<b>粗</b>', phone: '' });
    expect([added.status, added.headers.get('location')]).toEqual([303, '/?lang=en#people']);
    const page = await read('/');
    expect(page).toContain('&lt;b&gt;粗&lt;/b&gt;');
    expect(page).not.toContain('<b>粗</b>');
    const refused = await post('/page/people', { nickname: '某人', phone: '12' });
    expect(refused.status).toBe(400);
    expect(await refused.text()).toMatch(/value="某人"[\s\S]*这不是手机号/);
  });

  test('its switches bind an app, play the vendors’ flow control and clear the faults', async () => {
    const apps = async () => (await call('GET', '/apps')).body.apps as Record<string, unknown>[];
    const path = `/page/apps/${String((await apps())[0]?.appid)}`;
    await post(path, { open_platform: '' });
    expect((await apps())[0]?.open_platform).toBeNull();
    expect(await read('/?lang=en')).toContain('not bound');
    await post(path, { open_platform: 'sandbox-platform' });
    expect((await apps())[0]?.open_platform).toBe('sandbox-platform');
    expect(await read('/?lang=en')).toContain('flow control is off');
    await post('/page/faults', { limits: 'vendor' });
    expect(await read('/?lang=en')).toContain('1 a minute, 5 an hour, 10 a day');
    await post('/page/faults', {});
    expect((await call('GET', '/faults')).body.faults).toEqual([]);
  });

  test('runs no inline script, is framed by nobody, and lets its own forms say where they come from', async () => {
    const { headers } = await fetch(`${url}/`, { headers: html });
    expect(headers.get('content-security-policy')).toContain("script-src 'self'");
    expect(headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
    expect(headers.get('referrer-policy')).toBe('same-origin');
    expect(await read('/')).not.toMatch(/<script(?![^>]*src=)|\son\w+=|style="/);
  });
});

describe('the inbox', () => {
  test('is JSON for programs and a page for browsers, newest first', async () => {
    const transport = createTransport({ host: '127.0.0.1', port: smtpPort, secure: false });
    for (const text of ['first 111111', 'second 222222'])
      await transport.sendMail({ from: 'a@b.localhost', to: 'me@example.com', subject: 'Code', text });
    const { type, body } = await call('GET', '/inbox?to=ME@example.com');
    expect(type).toContain('application/json');
    expect((body.messages as { code: string }[]).map(({ code }) => code)).toEqual(['222222', '111111']);
    const page = await read('/inbox?to=me@example.com');
    expect(page).toMatch(/222222<\/output>[\s\S]*111111<\/output>/);
    expect(await read('/inbox?to=nobody@example.com&lang=en')).toContain('No messages yet');
  });

  test('finds a number whose plus was not escaped', async () => {
    expect((await call('GET', '/inbox?to=+8613800138000')).body).toEqual({ messages: [] });
  });

  test('an unknown path is a page of ours too', async () => {
    const answer = await fetch(`${url}/nothing`, { headers: html });
    expect(answer.status).toBe(404);
    expect(await answer.text()).toMatch(/这里没有这个页面。[\s\S]*回到沙箱首页/);
  });

  test.each(['/sandbox.css', '/sandbox.js', '/mark.svg'])('%s is served', async (path) => {
    const answer = await fetch(`${url}${path}`);
    expect(answer.status).toBe(200);
    expect((await answer.text()).length).toBeGreaterThan(100);
  });
});
