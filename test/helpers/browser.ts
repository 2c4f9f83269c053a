/** A real Chromium: the system's, else the one that comes as a package. One a test file, closed with it. */
import { existsSync } from 'node:fs';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { afterAll } from 'vitest';

const systemChromium = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const args = ['--no-sandbox', '--disable-background-networking', '--disable-component-update'];

export async function openBrowser(): Promise<Browser> {
  const installed = systemChromium.find((path) => existsSync(path));
  const browser = installed ? await chromium.launch({ executablePath: installed, args }) : await launchPackaged();
  afterAll(() => browser.close());
  return browser;
}

/**
 * Made for functions in a cloud: as one process it ends with its first closed page, and it would look away where a real browser
 * refuses (CORS, mixed content), so that our tests could not fail.
 */
const notOurs = ['--single-process', '--disable-web-security', '--allow-running-insecure-content'];

async function launchPackaged(): Promise<Browser> {
  const { default: packaged } = await import('@sparticuz/chromium');
  const theirs = packaged.args.filter((arg) => !notOurs.includes(arg));
  return chromium.launch({ executablePath: await packaged.executablePath(), args: [...theirs, ...args] });
}

export type Watched = {
  page: Page;
  /** What no page of ours may cause: refused by the policy, thrown by a script, opened as a dialog, asked of another host. */
  complaints: string[];
};

/** A page in a context of its own (no cookies), watched from its first request. */
export async function watchedPage(browser: Browser, options: BrowserContextOptions = {}): Promise<Watched> {
  const context = await browser.newContext({ locale: 'zh-CN', ...options });
  // Half a minute, the default, is short on a machine that does other things too.
  context.setDefaultTimeout(90_000);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    // A form answered with 400 is shown in the console too, and is no fault.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('dialog', (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('request', (request) => {
    const { hostname, protocol } = new URL(request.url());
    if (protocol.startsWith('http') && hostname !== 'localhost' && hostname !== '127.0.0.1')
      complaints.push(`request to ${hostname}`);
  });
  return { page, complaints };
}
