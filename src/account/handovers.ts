/** From the mini-program to the company's website in its web view, signed in: login/handover.ts is what the address opens. */
import { z } from 'zod';
import { type FieldErrors, fail } from '../errors.ts';
import { handoverSeconds, makeHandover } from '../login/handover-ticket.ts';
import type { LoginClient } from '../oidc/provider.ts';
import { meRoute, personOf } from './me.ts';

const perPerson = { name: 'handover_person', points: 60, seconds: 600 };

export const handoverRoutes = [
  meRoute({
    method: 'post',
    path: '/handovers',
    id: 'createHandover',
    tag: 'sides',
    summary:
      'An address for the web view of this mini-program that opens a page of our website, signed in. Works once, for a minute',
    scopes: ['me:write'],
    body: z.strictObject({
      client_id: z.string().max(64),
      url: z.string().max(2000).meta({ description: "A page of that client's, at an origin it is registered with." }),
    }),
    status: 201,
    answer: z.object({ url: z.string(), expires_in: z.number().int() }),
    errors: ['too_many_requests'],
    handle: async (services, { body: { client_id, url }, caller, ip }) => {
      const { clientOf, limits, publicUrl } = services;
      const sub = personOf(caller);
      const from = await clientOf(caller.client_id);
      // What another company's application holds of a person must not open our website as them.
      if (from?.party !== 'first' || !from.appid) throw fail('forbidden');
      const client = await clientOf(client_id);
      const fields = faults(client, url, publicUrl);
      if (!client || Object.keys(fields).length) throw fail('invalid_fields', { fields });
      await limits.spend(perPerson, sub);
      const ticket = await makeHandover(services, {
        sub,
        client_id,
        client: client.name,
        url,
        origins: client.origins,
        from_client_id: caller.client_id,
        ip,
      });
      return { url: `${publicUrl}/handover/${ticket}`, expires_in: handoverSeconds };
    },
  }),
];

/** Never our own pages: the account and the console ask for a sign-in of their own (threat E9 for the rest). */
function faults(client: LoginClient | undefined, text: string, publicUrl: string): FieldErrors {
  if (client?.party !== 'first' || client.appid) return { client_id: 'is no website of ours' };
  const url = URL.canParse(text) && !/[\s\p{Cc}\\]/u.test(text) ? new URL(text) : undefined;
  const isOwn = url && !url.username && client.origins.includes(url.origin) && url.origin !== publicUrl;
  return isOwn ? {} : { url: 'is not at an origin that this client is registered with' };
}
