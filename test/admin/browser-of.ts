/** A real browser in which a member of staff is signed in already. */
import type { BrowserContextOptions } from 'playwright-core';
import { openBrowser, type Watched, watchedPage } from '../helpers/browser.ts';
import type { Staff, World } from './world.ts';

let browser: ReturnType<typeof openBrowser> | undefined;

export async function browserOf(
  { db }: Pick<World, 'db'>,
  staff: Staff,
  options: BrowserContextOptions = {},
): Promise<Watched> {
  browser ??= openBrowser();
  const cookies = staff.visitor.cookies().map(({ name, value, path }) => ({ name, value, path, domain: 'localhost' }));
  const network = await db('staff_sessions').where({ subject_id: staff.sub }).first('network');
  const extraHTTPHeaders = { 'x-forwarded-for': network.network.replace('0/24', '7') };
  const viewport = { width: 1280, height: 800 };
  const watched = await watchedPage(await browser, { viewport, extraHTTPHeaders, ...options });
  await watched.page.context().addCookies(cookies);
  return watched;
}
