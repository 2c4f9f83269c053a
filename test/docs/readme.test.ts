import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { bundle } from '../../sdk/web/build.js';
import { projectRoot } from '../../src/config.ts';
import { createWriteKey } from '../../src/events/write-keys.ts';
import { createClient } from '../../src/oidc/clients.ts';
import { runningApp } from '../helpers/app.ts';
import { openBrowser, watchedPage } from '../helpers/browser.ts';
import { freePorts } from '../helpers/ports.ts';
import { createPhone, sandboxCodes } from '../helpers/wx.ts';

const { config, db, seal } = await runningApp();
const services = { db, seal };
const read = (file: string) => readFileSync(join(projectRoot, file), 'utf8');
const children: ReturnType<typeof spawn>[] = [];
afterAll(() => {
  for (const child of children) child.kill();
});

function runExample(name: string, env: Record<string, string>) {
  const child = spawn(process.execPath, [join(projectRoot, 'examples', name)], {
    env: { PATH: process.env.PATH, ISSUER: config.publicUrl, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  let output = '';
  child.stdout?.on('data', (chunk) => {
    output += chunk;
  });
  return { child, ended: new Promise<string>((resolve) => child.once('exit', () => resolve(output))) };
}

async function inboxCode(to: string): Promise<string> {
  const answer = await fetch(`${config.sandboxUrl}/inbox?to=${encodeURIComponent(to)}`);
  return ((await answer.json()) as { messages: { code: string }[] }).messages[0]?.code ?? '';
}

/** The example on a phone; the package's name leads to the package. */
function launchMiniProgram() {
  const phone = createPhone({ codes: sandboxCodes(config.sandboxUrl, 'lin-xiaoman') });
  const example = read('examples/miniprogram.js').replace('https://id.example.com', config.publicUrl);
  return phone.launch({
    app: ({ App, require }) =>
      new Function('require', 'App', example)(() => require(join(projectRoot, 'sdk/miniprogram/lib/index.js')), App),
  });
}

describe('README', () => {
  it.each(['README.md', 'README.zh-CN.md'])('%s shows the examples as they are', (file) => {
    const fence = '```';
    const text = read(file);
    const filled = text.replace(
      /<!-- (examples\/[\w.]+) -->\n(?:```\w+\n[\s\S]*?```\n)?/g,
      (_all, example: string) => `<!-- ${example} -->\n${fence}js\n${read(example)}${fence}\n`,
    );
    if (process.env.UPDATE_DOCS) writeFileSync(join(projectRoot, file), filled);
    else expect(text).toBe(filled);
    expect(filled.match(/<!-- examples\//g)).toHaveLength(4);
  });

  it.each(['README.md', 'README.zh-CN.md'])('%s links to files that exist', (file) => {
    const links = [...read(file).matchAll(/\]\(((?!https?:)[^)#]+)\)/g)].map(([, link]) => link ?? '');
    expect(links.length).toBeGreaterThan(5);
    for (const link of links) expect(() => readFileSync(join(projectRoot, link)), link).not.toThrow();
  });
});

describe('the examples', () => {
  it('sign somebody in on a website, and the same person in a mini-program; a back end reads both sides’ events', async () => {
    const [port] = await freePorts(1);
    const site = `http://localhost:${port}`;
    const { client_id, client_secret = '' } = await createClient(services, {
      name: 'My website',
      redirect_uris: [`${site}/callback`],
      methods: ['sms', 'email'],
    });
    runExample('website.js', { SITE: site, CLIENT_ID: client_id, CLIENT_SECRET: client_secret });
    await expect
      .poll(
        () =>
          fetch(site).then(
            (answer) => answer.status,
            () => 0,
          ),
        { timeout: 10_000 },
      )
      .toBe(200);

    const { page } = await watchedPage(await openBrowser());
    await page.goto(`${site}/login`);
    await page.fill('[name=phone]', '138 0013 8000');
    await page.check('form:has([name=phone]) [name=privacy]');
    await page.click('form:has([name=phone]) button[type=submit]');
    await page.fill('[name=code]', await inboxCode('+8613800138000'));
    await page.click('form:has([name=code]) button[type=submit]');
    await page.waitForURL(`${site}/`);
    const sub = (await page.textContent('body'))?.replace('signed in: ', '') ?? '';

    const running = launchMiniProgram();
    const { heyi } = running.app();
    const detail = await running.tapPhoneButton();
    expect(await heyi.signInByPhoneButton({ detail })).toEqual({ sub, phone_status: 'linked' });
    heyi.track('product_viewed', { product_id: 'P-1' });
    await heyi.flush();

    const { key } = await createWriteKey(services, { kind: 'server', name: 'Shop' });
    const machine = await createClient(services, {
      name: 'Shop',
      grant_types: ['client_credentials'],
      scope: 'subjects:read',
    });
    const backend = {
      CLIENT_ID: machine.client_id,
      CLIENT_SECRET: machine.client_secret ?? '',
      SERVER_KEY: key,
      SUB: sub,
    };
    const output = await runExample('backend.js', backend).ended;
    expect(output).toContain('server order_paid');
    expect(output).toContain('miniprogram product_viewed');
  });

  it('a browser delivers page and product views', async () => {
    const snippet = read('examples/tracking.js')
      .replace("'@heyi/web'", "'/heyi.js'")
      .replace('https://id.example.com', config.publicUrl);
    const [port] = await freePorts(1);
    const files: Record<string, [string, string]> = {
      '/heyi.js': ['text/javascript', (await bundle())['heyi.js']],
      '/snippet.js': ['text/javascript', snippet],
      '/': ['text/html', '<script type="module" src="/snippet.js"></script>'],
    };
    const server = createServer((req, res) => {
      const [type, body] = files[req.url ?? ''] ?? ['text/plain', ''];
      res.writeHead(body ? 200 : 404, { 'content-type': type }).end(body);
    }).listen(port);
    await createWriteKey(services, {
      key: 'demo-client-key',
      kind: 'client',
      name: 'Demo',
      origins: [`http://localhost:${port}`],
    });
    const { page } = await watchedPage(await openBrowser());
    await page.goto(`http://localhost:${port}/`);
    await expect
      .poll(
        async () =>
          (await db('events').whereNull('subject_id').whereNot({ channel: 'miniprogram' }).select('event'))
            .map(({ event }) => event)
            .sort(),
        { timeout: 10_000 },
      )
      .toEqual(['page_viewed', 'product_viewed']);
    server.close();
  });
});
