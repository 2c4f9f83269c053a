/**
 * A sign-in on a computer, as the mini-program that scanned its code sees it: which site, from where, yes or no (threat C13). What
 * is shown comes from us alone, so a code on a stranger's page cannot call itself something else.
 */
import { z } from 'zod';
import { recordAudit } from '../audit/audit.ts';
import { fail } from '../errors.ts';
import { networkOf } from '../http/client-address.ts';
import type { Caller } from '../http/routes.ts';
import { decideScan, networkShown, noteScanned, readScan, type Scan } from '../login/scan-ticket.ts';
import type { Ticket } from '../tickets.ts';
import { type MeServices, meRoute, personOf } from './me.ts';

const params = z.object({ ticket: z.string().regex(/^[\w-]{22}$/) });

const SignIn = z
  .object({
    client: z.string().meta({ description: 'Name of the website that asks.' }),
    host: z.string().meta({ description: 'Its host: a name is whatever somebody wrote, a host is not.' }),
    network: z.string().meta({ description: 'Where the browser is: its address, the last part masked.' }),
    is_same_network: z.boolean().meta({ description: 'Whether this call comes from the same network.' }),
    browser: z
      .string()
      .meta({ description: 'What the browser calls itself, such as `Chrome · Windows`; may be empty.' }),
    asked_at: z.string(),
    state: z.enum(['scanned', 'confirmed', 'denied']),
    expires_in: z.number().int(),
  })
  .meta({ id: 'SignIn' });

export const signInRoutes = [
  meRoute({
    method: 'get',
    path: '/sign-ins/{ticket}',
    id: 'readSignIn',
    tag: 'sign-ins',
    summary: 'Which site asks to be signed in, and from where. The first to look is the one who may answer',
    scopes: ['me:read'],
    params,
    answer: SignIn,
    errors: ['conflict'],
    handle: async (services, { params: { ticket }, caller, ip }) => {
      const scan = await scanFor(services, ticket, caller);
      if (scan.state !== 'open') return shown(scan, ip);
      const sub = personOf(caller);
      if (await noteScanned(services, ticket, { ...scan.payload, sub }))
        return shown({ ...scan, state: 'scanned' }, ip);
      // Two looked at the same moment: the other one, or the other call of this person, was first.
      return shown(await scanFor(services, ticket, caller), ip);
    },
  }),
  meRoute({
    method: 'post',
    path: '/sign-ins/{ticket}',
    id: 'answerSignIn',
    tag: 'sign-ins',
    summary: 'Sign in the browser that shows the code, or refuse',
    scopes: ['me:write'],
    params,
    body: z.strictObject({ decision: z.enum(['confirm', 'deny']) }),
    answer: SignIn,
    errors: ['conflict'],
    handle: async (services, { params: { ticket }, body, caller, ip, request_id }) => {
      const scan = await scanFor(services, ticket, caller);
      const decided = body.decision === 'confirm' ? 'confirmed' : 'denied';
      // The answer was lost on its way to the phone, and asked for again.
      if (scan.state === decided) return shown(scan, ip);
      if (!(await decideScan(services, ticket, scan.payload, decided))) throw fail('conflict');
      const sub = personOf(caller);
      await recordAudit(services.db, {
        action: `sign_in.${decided}`,
        actor_kind: 'person',
        actor_id: sub,
        subject_id: sub,
        client_id: caller.client_id,
        ip,
        request_id,
        details: { for_client: scan.payload.client_id, asked_from: scan.payload.ip },
      });
      return shown({ ...scan, state: decided }, ip);
    },
  }),
];

/** A code of another mini-program is no code at all; one that somebody else scanned is theirs. @throws not_found | conflict */
async function scanFor(services: MeServices, ticket: string, caller: Caller): Promise<Ticket<Scan>> {
  const scan = await readScan(services, ticket);
  const client = await services.clientOf(caller.client_id);
  if (!scan || client?.appid !== scan.payload.appid) throw fail('not_found');
  if (scan.state !== 'open' && scan.payload.sub !== caller.sub)
    throw fail('conflict', { message: 'Somebody else has scanned this code.' });
  return scan;
}

function shown({ payload, state, expires_in }: Ticket<Scan>, ip: string): z.input<typeof SignIn> {
  const { client, host, browser, asked_at } = payload;
  return {
    client,
    host,
    network: networkShown(payload),
    is_same_network: networkOf(payload.ip) === networkOf(ip),
    browser,
    asked_at,
    state: z.enum(['scanned', 'confirmed', 'denied']).parse(state),
    expires_in,
  };
}
