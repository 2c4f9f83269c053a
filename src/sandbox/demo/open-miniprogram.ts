/** "Open in the mini-program": a link, and the four digits that make the two sides one person. */
import Router from '@koa/router';
import { request } from 'undici';
import { z } from 'zod';
import { fail } from '../../errors.ts';
import type { RequestState } from '../../http/server.ts';
import { ownForm } from './forms.ts';
import type { Parts } from './parts.ts';
import type { Person } from './sessions.ts';

const linkAnswer = z.object({ url_link: z.string(), pairing_code: z.string(), expires_in: z.number() });

export function openMiniprogramRoutes(parts: Parts): Router<RequestState> {
  const { sessions, pages } = parts;
  const router = new Router<RequestState>();
  router.post('/open-miniprogram', async (ctx) => {
    const session = sessions.of(ctx);
    await ownForm(ctx, session);
    if (!session.person) {
      ctx.status = 303;
      return ctx.redirect('/sign-in?return=/account');
    }
    const link = await makeLink(parts, session.person);
    sessions.save();
    pages.render(ctx, 'open-miniprogram', { link, minutes: Math.round(link.expires_in / 60) });
  });
  return router;
}

/** With the person's own token: the link is for their account and no other. */
async function makeLink({ settings, provider }: Parts, person: Person) {
  const answer = await request(`${settings.issuer}/me/miniprogram-links`, {
    method: 'POST',
    headers: { authorization: `Bearer ${await provider.freshToken(person)}`, 'content-type': 'application/json' },
    body: JSON.stringify({ client_id: settings.miniprogram.client_id, query: 'from=website' }),
    headersTimeout: 10_000,
  });
  if (answer.statusCode !== 201) {
    await answer.body.dump();
    throw fail('upstream_unavailable');
  }
  return linkAnswer.parse(await answer.body.json());
}
