/** A person as the console shows them: never a number, an address or an id in clear unless a page says so. */
import type { Knex } from 'knex';
import type { IdentityKind } from '../connectors/contract.ts';
import { fail } from '../errors.ts';
import { listClients } from '../oidc/clients.ts';
import type { Seal } from '../seal.ts';
import { maskIdentity } from '../subjects/identity-key.ts';
import { currentSubject, identitiesOf, type Subject, type SubjectIdentity } from '../subjects/subjects.ts';
import type { Role } from './permissions.ts';
import { roleOf } from './staff.ts';

type Services = { db: Knex; seal: Seal };

/** `sub` stands; `requested_sub` may have been merged into it. @throws not_found, also for text that is no sub at all */
export async function readPerson(db: Knex, requested: string): Promise<Subject> {
  const subject = await currentSubject(db, requested);
  if (!subject) throw fail('not_found');
  return subject;
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** For ids in an address that go into a query. @throws not_found */
export function idOr404(text: string | undefined): string {
  if (!text || !uuid.test(text)) throw fail('not_found');
  return text;
}

/** Undefined for what is none: of a filter, which then finds nothing to filter by. */
export const idOrNone = (text: string | undefined) => (text && uuid.test(text) ? text : undefined);

export type ShownIdentity = Omit<SubjectIdentity, 'external_id'> & {
  value: string;
  /** The app, platform or provider by a name that people know, and its id. */
  place: string;
};

export async function shownIdentities(
  services: Services,
  sub: string,
  { unmasked = false } = {},
): Promise<ShownIdentity[]> {
  const names = await appNames(services.db);
  return (await identitiesOf(services, sub)).map(({ external_id, ...identity }) => ({
    ...identity,
    value: unmasked ? external_id : maskIdentity(identity.kind, external_id),
    place: placeOf(names, identity),
  }));
}

/** What each mini-program or account of ours is called, by its appid. */
export async function appNames(db: Knex): Promise<Map<string, string>> {
  return new Map((await listClients(db)).flatMap(({ appid, name }) => (appid ? [[appid, name]] : [])));
}

export function placeOf(names: Map<string, string>, { kind, issuer }: { kind: IdentityKind; issuer: string }): string {
  if (kind === 'oidc' && URL.canParse(issuer)) return new URL(issuer).host;
  const name = names.get(issuer);
  return name ? `${name} · ${issuer}` : issuer;
}

export type Brief = { sub: string; name: string | null; hint: string | null; role: Role | undefined };

/** In one line of a list: the nickname, and a masked number or address to recognise them by. */
export async function briefOf(services: Services, sub: string): Promise<Brief> {
  const [subject, identities] = [await currentSubject(services.db, sub), await identitiesOf(services, sub)];
  const reachable = identities.filter(
    ({ kind, is_superseded }) => (kind === 'phone' || kind === 'email') && !is_superseded,
  );
  const [best] = reachable;
  return {
    sub,
    name: subject?.nickname ?? null,
    hint: best ? maskIdentity(best.kind, best.external_id) : null,
    role: await roleOf(services.db, sub),
  };
}

/** Members of staff who did something, as colleagues know them: by sub, the masked address they sign in with, else the nickname. */
export async function colleaguesIn(
  services: Services,
  entries: { actor_kind: string; actor_id: string | null }[],
): Promise<Map<string, string>> {
  const acting = entries.flatMap(({ actor_kind, actor_id }) =>
    actor_kind === 'staff' && actor_id ? (idOrNone(actor_id) ?? []) : [],
  );
  const briefs = await Promise.all([...new Set(acting)].map((sub) => briefOf(services, sub)));
  return new Map(
    briefs.flatMap(({ sub, name, hint }) => ((hint ?? name) ? [[sub, String(hint ?? name)] as const] : [])),
  );
}
