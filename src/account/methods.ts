/** A person's ways of signing in as they see them: one WeChat, however many openids of our apps stand for it. Values are masked. */
import { listClients } from '../oidc/clients.ts';
import { maskIdentity } from '../subjects/identity-key.ts';
import type { SubjectIdentity } from '../subjects/subjects.ts';
import type { AccountDependencies } from './dependencies.ts';
import { pendingRemovals } from './store.ts';
import { type Family, familyOf, isProvenBy, type Visit } from './visit.ts';

export type Method = {
  /** In addresses: the id of the identity; `wechat` stands for all of it. */
  key: string;
  family: Family;
  identities: SubjectIdentity[];
  hint: string | undefined;
  /** Where a WeChat or a login elsewhere is known from. */
  places: string[];
  verified_at: Date;
  last_used_at: Date;
  /** Asked for, and not yet due. */
  removed_at: Date | undefined;
  is_removable: boolean;
};

export async function methodsOf(deps: AccountDependencies, { sub, identities }: Visit): Promise<Method[]> {
  const removals = await pendingRemovals(deps.db, sub);
  const groups = Map.groupBy(identities, ({ id, kind }) => (familyOf(kind) === 'wechat' ? 'wechat' : id));
  const apps = groups.has('wechat') ? await appNames(deps) : new Map<string, string>();
  const methods: Method[] = [];
  for (const [key, held] of groups) {
    const [first] = held;
    if (!first) continue;
    const family = familyOf(first.kind);
    const latest = (field: 'verified_at' | 'last_used_at') =>
      new Date(Math.max(...held.map((one) => Number(one[field]))));
    methods.push({
      key,
      family,
      identities: held,
      // An openid, or an id at another provider, means nothing to the person it is of.
      hint: family === 'wechat' || family === 'oidc' ? undefined : maskIdentity(first.kind, first.external_id),
      places: placesOf(held, apps),
      verified_at: latest('verified_at'),
      last_used_at: latest('last_used_at'),
      removed_at: removals.find(({ identity_id }) => held.some(({ id }) => id === identity_id))?.due_at,
      is_removable: family !== 'member_no',
    });
  }
  const order: Family[] = ['phone', 'email', 'wechat', 'oidc', 'member_no'];
  return methods.sort((a, b) => order.indexOf(a.family) - order.indexOf(b.family));
}

/** Ways in that would be left, counting out what is to go already. */
export function othersThan(methods: Method[], { key }: Method): Method[] {
  return methods.filter((method) => method.key !== key && method.is_removable && !method.removed_at);
}

export function wasProven(deps: AccountDependencies, visit: Visit, { identities }: Method): boolean {
  return identities.some((identity) => isProvenBy(deps, visit, identity));
}

async function appNames({ db }: AccountDependencies): Promise<Map<string, string>> {
  const clients = await listClients(db);
  return new Map(clients.flatMap(({ appid, name }) => (appid ? [[appid, name]] : [])));
}

function placesOf(held: SubjectIdentity[], apps: Map<string, string>): string[] {
  const names = held.flatMap(({ kind, issuer }) => {
    if (kind === 'oidc') return [URL.canParse(issuer) ? new URL(issuer).host : issuer];
    return kind === 'wechat_openid' ? (apps.get(issuer) ?? []) : [];
  });
  return [...new Set(names)];
}
