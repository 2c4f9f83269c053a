/**
 * The glass pane over both sides: who the website and the mini-program take this person for, and what Heyi recorded. The
 * mini-program's subject is believed only with its access token; without one this page would show anybody's timeline.
 */
import Router from '@koa/router';
import { request } from 'undici';
import { z } from 'zod';
import { fail } from '../../errors.ts';
import { readJson } from '../../http/body.ts';
import type { RequestState } from '../../http/server.ts';
import { checkCsrf } from './forms.ts';
import type { TimelineEvent } from './heyi-api.ts';
import type { Parts } from './parts.ts';

const reportSchema = z.object({ csrf: z.string(), access_token: z.string().max(4096).optional() });
const inboxSchema = z.object({
  messages: z.array(
    z.object({
      to: z.string(),
      text: z.string(),
      code: z.string().nullish(),
      channel: z.string(),
      received_at: z.string(),
    }),
  ),
});

export function panelRoutes(parts: Parts): Router<RequestState> {
  const { pages, sessions, provider, settings } = parts;
  const router = new Router<RequestState>();

  router.get('/together', (ctx) => pages.render(ctx, 'together'));

  router.get('/panel/state', async (ctx) => {
    const session = sessions.of(ctx);
    const { person, miniprogram_sub } = session;
    const subs = [...new Set([person?.sub, miniprogram_sub].filter((sub) => sub !== undefined))];
    const [timelines, message] = await Promise.all([
      Promise.all(subs.map((sub) => timelineOf(parts, sub))).catch(() => undefined),
      newestMessage(parts),
    ]);
    ctx.set('Cache-Control', 'no-store');
    ctx.body = {
      website: { sub: person?.sub ?? null, phone_number: person?.phone_number ?? null },
      miniprogram: { sub: miniprogram_sub ?? null },
      is_same: person !== undefined && person.sub === miniprogram_sub,
      is_available: timelines !== undefined,
      timeline: (timelines ?? []).flat().sort(newestFirst).slice(0, 60),
      message,
    };
  });

  router.put('/panel/miniprogram', async (ctx) => {
    const session = sessions.of(ctx);
    const parsed = reportSchema.safeParse(await readJson(ctx, { limit: 16_384 }));
    if (!parsed.success) throw fail('invalid_fields');
    checkCsrf(session, parsed.data.csrf);
    const { access_token } = parsed.data;
    const sub = access_token
      ? await provider.subjectOf(access_token).catch((cause) => {
          throw fail('upstream_unavailable', { cause });
        })
      : undefined;
    if (sub) session.miniprogram_sub = sub;
    else delete session.miniprogram_sub;
    sessions.save();
    ctx.body = { sub: sub ?? null };
  });

  router.get('/spa', (ctx) => pages.render(ctx, 'spa', {}, { spa_client_id: settings.spaClientId }));
  router.get('/spa/callback', (ctx) => pages.render(ctx, 'spa-callback', {}, { spa_client_id: settings.spaClientId }));

  return router;
}

const newestFirst = (a: TimelineEvent, b: TimelineEvent) => b.timestamp.localeCompare(a.timestamp);

async function timelineOf({ api }: Parts, sub: string) {
  return (await api.timeline(sub, 60)).map((event) => ({ ...event, sub }));
}

/** The simulated phone's newest message of the last five minutes: a convenience that no real website has. */
async function newestMessage({ settings, clock }: Parts) {
  try {
    const answer = await request(`${settings.sandboxUrl}/inbox`, {
      headers: { accept: 'application/json' },
      headersTimeout: 2000,
    });
    const [message] = inboxSchema.parse(await answer.body.json()).messages;
    const age = clock.now().getTime() - new Date(message?.received_at ?? 0).getTime();
    return message && age < 300_000 ? message : null;
  } catch {
    return null;
  }
}
