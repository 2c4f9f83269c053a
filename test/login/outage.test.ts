import { expect, it } from 'vitest';
import { newPerson } from '../connectors/services.ts';
import { openSite } from './site.ts';
import { formTo } from './visitor.ts';
import { walker } from './walk.ts';

const site = await openSite();
const { browser, ask, lastCode } = walker(site);

it('with the database away every step answers 503 with a page that says to wait, and no secret', async () => {
  const visitor = browser();
  const { phone } = newPerson();
  const page = await ask(visitor, phone);
  const form = formTo(page, '/verify');
  await site.db.destroy();
  for (const answer of [await visitor.get(page.url), await visitor.submit(form, { code: lastCode(phone) })]) {
    expect(answer.status).toBe(503);
    expect(answer.headers.get('retry-after')).toBe('2');
    expect(answer.html).toContain('服务暂时不可用');
    expect(answer.html).not.toMatch(/knex|select|pool/i);
  }
});
