/** Every page of the console in every role, and for those who have none (D17, D19, E10). What each needs is written down here once more. */
import { beforeAll, describe, expect, it } from 'vitest';
import { consoleRoutes } from '../../src/admin/routes.ts';
import { grantByEmail } from '../../src/admin/staff.ts';
import { systemClock } from '../../src/clock.ts';
import { catalogueReader } from '../../src/events/catalogue.ts';
import { createWriteKey } from '../../src/events/write-keys.ts';
import { createI18n } from '../../src/http/i18n.ts';
import { createSegment } from '../../src/segments/segment.ts';
import { keptLog } from '../helpers/kept-log.ts';
import { createVisitor } from '../login/visitor.ts';
import { attackerOf, basic, claimsOf, freshPhone } from '../security/attacker.ts';
import { email, phone } from '../subjects/people.ts';
import { openConsole, type Staff } from './world.ts';

const { lines, destination: logTo } = keptLog();
const world = await openConsole({ logTo });
const { db, base } = world;

const least: Record<string, 'viewer' | 'operator' | 'owner'> = {
  'get /admin': 'viewer',
  'get /admin/people/:sub': 'viewer',
  'get /admin/people/:sub/sessions': 'viewer',
  'get /admin/people/:sub/events': 'viewer',
  'get /admin/people/:sub/segments': 'viewer',
  'get /admin/people/:sub/profile': 'viewer',
  'post /admin/people/:sub/tags': 'operator',
  'get /admin/people/:sub/history': 'viewer',
  'get /admin/people/:sub/merges': 'viewer',
  'get /admin/merges/:id': 'viewer',
  'get /admin/cases': 'viewer',
  'get /admin/cases/:id': 'viewer',
  'get /admin/segments': 'viewer',
  'get /admin/segments/:key': 'viewer',
  'get /admin/segments/:key/members': 'viewer',
  'get /admin/segments/:key/changes': 'viewer',
  'get /admin/segments/:key/versions': 'viewer',
  'get /admin/segments/:key/explain': 'viewer',
  'post /admin/segments/:key/status': 'operator',
  'post /admin/segments/:key/list': 'operator',
  'post /admin/segments/:key/members.csv': 'operator',
  'get /admin/segment-builder': 'operator',
  'post /admin/segment-builder': 'operator',
  'get /admin/segments/:key/edit': 'operator',
  'post /admin/segments/:key/edit': 'operator',
  'post /admin/segment-preview': 'operator',
  'get /admin/events': 'viewer',
  'get /admin/events/catalogue': 'viewer',
  'get /admin/event-definition': 'owner',
  'post /admin/event-definition': 'owner',
  'get /admin/write-keys': 'viewer',
  'get /admin/write-keys/:id': 'viewer',
  'get /admin/write-keys/new': 'owner',
  'post /admin/write-keys/new': 'owner',
  'get /admin/write-keys/:id/edit': 'owner',
  'post /admin/write-keys/:id/edit': 'owner',
  'get /admin/write-keys/:id/consents': 'owner',
  'post /admin/write-keys/:id/consents': 'owner',
  'get /admin/write-keys/:id/state': 'owner',
  'post /admin/write-keys/:id/state': 'owner',
  'get /admin/search': 'operator',
  'post /admin/search': 'operator',
  'post /admin/people/:sub/sessions/end': 'operator',
  'post /admin/people/:sub/sessions/end-grant': 'operator',
  'post /admin/people/:sub/sessions/end-all': 'operator',
  'get /admin/people/:sub/link': 'operator',
  'post /admin/people/:sub/link': 'operator',
  'get /admin/people/:sub/identities/:id/unlink': 'operator',
  'post /admin/people/:sub/identities/:id/unlink': 'operator',
  'get /admin/people/:sub/merge': 'operator',
  'post /admin/people/:sub/merge': 'operator',
  'get /admin/merge': 'operator',
  'post /admin/merge': 'operator',
  'get /admin/merges/:id/undo': 'operator',
  'post /admin/merges/:id/undo': 'operator',
  'get /admin/cases/:id/dismiss': 'operator',
  'post /admin/cases/:id/dismiss': 'operator',
  'post /admin/people/:sub/unmask': 'owner',
  'get /admin/staff': 'owner',
  'get /admin/staff/new': 'owner',
  'post /admin/staff/new': 'owner',
  'get /admin/staff/:sub': 'owner',
  'post /admin/staff/:sub': 'owner',
  'get /admin/staff/invitations/:id': 'owner',
  'post /admin/staff/invitations/:id': 'owner',
  'get /admin/audit': 'owner',
};
const nameOf = ({ method, path }: { method: string; path: string }) => `${method} ${path}`;
const roles = ['viewer', 'operator', 'owner'] as const;

/** Routes filled in with what there is, so that only the permission can refuse. */
let addressOf: (path: string) => string;
const staff = {} as Record<(typeof roles)[number], Staff>;
let customer: Awaited<ReturnType<typeof world.signIn>>['visitor'];

beforeAll(async () => {
  for (const role of roles) staff[role] = await world.enter(role);
  ({ visitor: customer } = await world.signIn('customer@example.com'));
  const [sub, other] = [await world.person([phone(), email()]), await world.person([phone()])];
  const identity = await db('identities').where({ subject_id: sub, kind: 'email' }).first('id');
  const merge = await world.merged(await world.person([phone()]), await world.person([email()]));
  const found = await world.caseBetween();
  await grantByEmail(world.services, 'invited@example.com', 'viewer');
  const invitation = await db('staff_invitations').whereNotNull('email_lookup').first('id');
  const segment = { version: 1, key: 'everybody', name: 'Everybody', purpose: 'service', where: { event: '*' } };
  const readCatalogue = catalogueReader({ db, clock: systemClock });
  const segments = { clock: systemClock, readCatalogue, translate: createI18n().translator('en') };
  await db.transaction((trx) => createSegment(trx, segments, segment, 'client:test'));
  const { id: key } = await createWriteKey(world.services, { kind: 'server', name: 'Orders' });
  addressOf = (path) =>
    path
      .replace(/(write-keys)\/:id/, `$1/${key}`)
      .replace(/(identities)\/:id/, `$1/${identity.id}`)
      .replace(/(merges)\/:id/, `$1/${merge}`)
      .replace(/(cases)\/:id/, `$1/${found.id}`)
      .replace(/(invitations)\/:id/, `$1/${invitation.id}`)
      .replace(':key', 'everybody')
      .replace('staff/:sub', `staff/${staff.viewer.sub}`)
      .replace(':sub', sub)
      .replace(/^\/admin\/merge$/, `/admin/merge?survivor=${sub}&absorbed=${other}`);
});

const call = (visitor: Staff['visitor'], csrf: string, { method, path }: { method: string; path: string }) =>
  method === 'get' ? visitor.get(base + addressOf(path)) : visitor.post(base + addressOf(path), { csrf });

it('the table names every page there is', () => {
  expect(consoleRoutes.map(nameOf).sort()).toEqual(Object.keys(least).sort());
});

describe.each(consoleRoutes)('D17: $method $path', (route) => {
  const needed = roles.indexOf(least[nameOf(route)] ?? 'owner');

  it.each(roles.slice(0, needed))('403 for a %s, who is on record as having tried', async (role) => {
    const { visitor, csrf, sub } = staff[role];
    const answer = await call(visitor, csrf, route);
    expect([answer.status, answer.headers.get('cache-control')]).toEqual([403, 'no-store']);
    const [entry] = (await world.auditOf({ action: 'staff.refused', actor_id: sub })).slice(-1);
    expect(entry.details).toEqual({ needs: route.needs, route: `${route.method} ${route.path}` });
    expect(lines.some((line) => line.includes('admin: refused') && line.includes(sub))).toBe(true);
  });

  it.each(roles.slice(needed))('is open to a %s, and no cache keeps it (E10)', async (role) => {
    const { visitor, csrf } = staff[role];
    const answer = await call(visitor, csrf, route);
    expect(answer.status).not.toBe(403);
    expect(answer.status).toBeLessThan(500);
    expect(answer.location ?? '').not.toContain('/authorize');
    expect(answer.headers.get('cache-control')).toBe('no-store');
  });

  it('is no customer’s', async () => {
    const form = await customer.get(`${base}/admin`);
    const answer = await call(customer, form.forms[0]?.fields.csrf ?? '', route);
    expect(answer.status).toBe(403);
  });

  it('leads somebody who is not signed in to sign in, and does nothing', async () => {
    const answer = await call(createVisitor(), 'x', route);
    expect(answer.status).toBe(303);
    expect(answer.location).toContain(`${base}/authorize?`);
    expect(answer.headers.get('cache-control')).toBe('no-store');
  });

  it.runIf(route.method === 'post')('D21: 403 without the field of this browser’s form', async () => {
    const { visitor, csrf } = staff.owner;
    const address = base + addressOf(route.path);
    expect((await visitor.post(address, {})).status).toBe(403);
    expect((await visitor.post(address, { csrf: staff.viewer.csrf })).status).toBe(403);
    expect((await visitor.post(address, { csrf }, { origin: 'https://evil.example' })).status).toBe(403);
  });
});

describe('D19: what opens one door opens no other', () => {
  it('a person’s token and a program’s token open no page of the console', async () => {
    const attacker = attackerOf(world.config);
    const { body } = await attacker.redeem(await attacker.signIn('sms', freshPhone()));
    expect(claimsOf(body.id_token).sub).toBeTruthy();
    for (const token of [body.access_token, body.id_token, await attacker.machineToken()])
      for (const accept of ['text/html', 'application/json']) {
        const headers = { accept, authorization: `Bearer ${token}` };
        const answer = await fetch(`${base}/admin/audit`, { headers, redirect: 'manual' });
        expect(answer.status).toBe(401);
      }
  });

  it('the console’s cookie opens neither the management API nor a person’s own', async () => {
    const cookie = staff.owner.visitor.cookies().map(({ name, value }) => `${name}=${value}`);
    const headers = { cookie: cookie.join('; ') };
    for (const path of ['/api/v1/clients', '/userinfo', '/me/sign-ins/x', '/api/v1/merges/preview'])
      expect([401, 404, 405]).toContain((await fetch(base + path, { headers })).status);
    expect((await fetch(`${base}/api/v1/clients`, { headers })).status).toBe(401);
    expect((await fetch(`${base}/userinfo`, { headers })).status).toBe(401);
  });

  it('nobody becomes the console’s client, and the console’s client gets nothing by itself', async () => {
    const answer = await fetch(`${base}/token`, {
      method: 'POST',
      headers: basic('heyi-admin', 'anything'),
      body: new URLSearchParams({ grant_type: 'client_credentials' }),
    });
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.status).toBeLessThan(500);
  });
});
