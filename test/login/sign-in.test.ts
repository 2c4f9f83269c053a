import { describe, expect, it } from 'vitest';
import { newPerson } from '../connectors/services.ts';
import { authorizeUrl, openSite } from './site.ts';
import { createVisitor, formTo, type Visitor } from './visitor.ts';

const site = await openSite();

/** From the client to the code page. */
async function askForCode(visitor: Visitor, phone: string, parameters: Record<string, string> = {}) {
  const start = await visitor.follow(await visitor.get(authorizeUrl(site, parameters)));
  const sent = await visitor.submit(formTo(start, '/sms'), { phone, privacy: '1' });
  return { start, sent, page: await visitor.follow(sent) };
}
const lastCode = (phone: string) => site.sms.findLast((message) => phone.endsWith(message.phone))?.code ?? '';

describe('signing in by phone', () => {
  it('leads from the client over the code back to the client', async () => {
    const visitor = createVisitor();
    const { phone } = newPerson();
    const { start, sent, page } = await askForCode(visitor, phone);
    expect(start.status).toBe(200);
    expect(sent.status).toBe(303);
    expect(page.status).toBe(200);
    const done = await visitor.submit(formTo(page, '/verify'), { code: lastCode(phone) });
    expect(done.status).toBe(303);
    const out = await visitor.follow(done);
    expect(out.location).toMatch(new RegExp(`^${site.website.callback}\\?code=.*&state=.*&iss=`));
  });
});
