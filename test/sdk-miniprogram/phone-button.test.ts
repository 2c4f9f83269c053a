/**
 * A component as the README shows it, drawn by WeChat's own component framework (miniprogram-simulate), with its SDK on the phone
 * and Heyi behind.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import { projectRoot } from '../../src/config.ts';
import { someone, startWorld } from './mini-program.ts';

type Component = {
  dom: HTMLElement;
  instance: { data: Record<string, unknown> };
  attach(parent: unknown): void;
  querySelector(selector: string): { dispatchEvent(name: string, options: object): void };
  addEventListener(name: string, listener: (event: { detail: unknown }) => void): void;
};
type HTMLElement = { textContent: string };

const world = await startWorld();
const folder = join(projectRoot, 'sdk/miniprogram/examples');

/** The framework looks for a browser when it is loaded. */
const require = createRequire(import.meta.url);
const { JSDOM } = require('jsdom');
const { window } = new JSDOM('<!doctype html>', { pretendToBeVisual: true });
for (const name of [
  'document',
  'HTMLElement',
  'Node',
  'Event',
  'CustomEvent',
  'MutationObserver',
  'TouchEvent',
  'MouseEvent',
])
  vi.stubGlobal(name, window[name]);
vi.stubGlobal('window', window);
afterAll(() => void vi.unstubAllGlobals());
const simulate = require('miniprogram-simulate');

function draw(heyi: unknown): Component {
  vi.stubGlobal('getApp', () => ({ heyi }));
  const path = join(folder, 'phone-button/phone-button');
  const component: Component = simulate.render(
    simulate.load(path, { rootPath: folder, less: false, compiler: 'simulate' }),
  );
  component.attach(window.document.createElement('div'));
  return component;
}

test('the tap signs the person in with their number, and the page hears who it is', async () => {
  const { launch } = await someone(world, { privacy: { isRequired: true } });
  const running = launch();
  const component = draw(running.heyi);
  const told: unknown[] = [];
  component.addEventListener('signedin', ({ detail }) => told.push(detail));
  component.querySelector('.phone').dispatchEvent('agreeprivacyauthorization', {});
  running.agreeToPrivacy();
  component.querySelector('.phone').dispatchEvent('getphonenumber', { detail: await running.tapPhoneButton() });
  await expect.poll(() => told, { interval: 5, timeout: 5000 }).toHaveLength(1);
  expect(told).toEqual([{ sub: running.heyi.person()?.sub, phone_status: 'linked' }]);
  expect(component.instance.data).toEqual({ busy: false, problem: '' });
});

test('a refusal is said on the button, and signs nobody in', async () => {
  const running = (await someone(world)).launch();
  const component = draw(running.heyi);
  component.querySelector('.phone').dispatchEvent('getphonenumber', { detail: await running.tapPhoneButton('deny') });
  await expect.poll(() => component.dom.textContent, { interval: 5 }).toContain('也可以用短信验证码登录');
  expect(running.heyi.person()).toBeNull();
});
