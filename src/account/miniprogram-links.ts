/** From the website into the mini-program, as the same person: oidc/launch-link.ts is what the link is worth at its launch. */
import { z } from 'zod';
import { fail } from '../errors.ts';
import { linkSeconds, makeLaunchLink, readLaunchLink } from '../oidc/launch-link.ts';
import type { LoginClient } from '../oidc/provider.ts';
import { type MeServices, meRoute, personOf } from './me.ts';

const perPerson = { name: 'miniprogram_link_person', points: 20, seconds: 3600 };

export const miniprogramLinkRoutes = [
  meRoute({
    method: 'post',
    path: '/miniprogram-links',
    id: 'createMiniprogramLink',
    tag: 'sides',
    summary:
      'A link that opens our mini-program and, with the four digits shown beside it, joins this account and the WeChat it is opened with',
    scopes: ['me:write'],
    body: z.strictObject({
      client_id: z.string().max(64).meta({ description: 'The client of the mini-program.' }),
      path: z
        .string()
        .regex(/^(\w[\w/-]{0,127})?$/, 'is a page such as pages/index/index, without a leading slash')
        .default(''),
      query: z
        .string()
        .max(800)
        .regex(/^[\w!#$&'()*+,/:;=?@.~%-]*$/, 'holds a character that such a link cannot carry')
        .default(''),
    }),
    status: 201,
    answer: z.object({
      url_link: z.string(),
      pairing_code: z
        .string()
        .meta({ description: 'Show it beside the link; the person types it in the mini-program.' }),
      expires_in: z.number().int(),
    }),
    errors: ['too_many_requests', 'connector_not_configured', 'wechat_misconfigured', 'upstream_unavailable'],
    handle: async (services, { body: { client_id, path, query }, caller }) => {
      const sub = personOf(caller);
      const website = await services.clientOf(caller.client_id);
      // Whoever holds the digits joins a WeChat to this account: no other company's application may ask for them.
      if (website?.party !== 'first') throw fail('forbidden');
      const { appid } = await miniprogram(services, client_id);
      await services.limits.spend(perPerson, sub);
      const link = { sub, client_id: caller.client_id, client: website.name, to_client_id: client_id };
      const { ticket, code } = await makeLaunchLink(services, link);
      const url_link = await services.connectors.appLink(appid, {
        path,
        query: [query, `heyi_link=${ticket}`].filter(Boolean).join('&'),
        seconds: linkSeconds,
      });
      return { url_link, pairing_code: code, expires_in: linkSeconds };
    },
  }),
  meRoute({
    method: 'post',
    path: '/miniprogram-links/preview',
    id: 'previewMiniprogramLink',
    tag: 'sides',
    summary:
      'Which of our websites a link is from, for the question that the mini-program asks before it joins anything',
    scopes: [],
    body: z.strictObject({ client_id: z.string().max(64), link_ticket: z.string().max(64) }),
    answer: z.object({ client: z.string(), expires_in: z.number().int() }),
    errors: ['not_found'],
    handle: async (services, { body: { client_id, link_ticket } }) => {
      const link = await readLaunchLink(services, link_ticket, client_id);
      if (!link) throw fail('not_found');
      return link;
    },
  }),
];

async function miniprogram({ clientOf }: MeServices, client_id: string): Promise<LoginClient & { appid: string }> {
  const client = await clientOf(client_id);
  if (client?.party !== 'first' || !client.appid)
    throw fail('invalid_fields', { fields: { client_id: 'is no mini-program of ours' } });
  return { ...client, appid: client.appid };
}
