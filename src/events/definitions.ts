/**
 * Definitions of events: canonical names with titles and typed properties, the names that other vendors use for them, and the least
 * trust to count. Built in is builtin-catalogue.ts; a company defines its own, and says more about those that are built in (table
 * event_catalogue). Stored events keep the name they were stored with.
 */
import type { Knex } from 'knex';
import { type AuditEntry, recordAudit } from '../audit/audit.ts';
import { fail } from '../errors.ts';
import { builtin } from './builtin-catalogue.ts';
import type { Properties } from './property-types.ts';
import type { Trust } from './trust.ts';

/** The company's word. */
export type Definition = {
  name: string;
  title: Record<string, string>;
  properties: Properties;
  aliases: string[];
  /** Null: the usual one of such a name. */
  least_trust: Trust | null;
  mode: 'document' | 'enforce';
};

export type EventDefinition = {
  name: string;
  /** By language. */
  title: Record<string, string>;
  properties: Properties;
  aliases: string[];
  least_trust: Trust;
  /** `enforce`: an event that breaks the types is refused. `document`: it is stored as it is. */
  mode: 'document' | 'enforce';
  /** `extended`: built in, and the company says more about it. */
  origin: 'builtin' | 'extended' | 'own';
};

/** Events that mean money: anybody could send them with a public key, so only a server's count unless the company says so. */
const money = /^(order|payment|refund|points|coupon)_/;
export const usualTrust = (name: string): Trust => (money.test(name) ? 'server' : 'claimed');

/** Case, spaces and hyphens make no difference. */
export function fold(name: string): string {
  return name.toLowerCase().replace(/[\s-]+/g, '_');
}

/** Built in and own as one; of a name that is in both, the company's word counts, and aliases and properties are those of both. */
export function definitionsOf(own: Definition[]): Map<string, EventDefinition> {
  const definitions = new Map<string, EventDefinition>();
  for (const definition of builtin)
    definitions.set(definition.name, {
      ...definition,
      least_trust: usualTrust(definition.name),
      mode: 'document',
      origin: 'builtin',
    });
  for (const { least_trust, ...definition } of own) {
    const known = definitions.get(definition.name);
    definitions.set(definition.name, {
      ...definition,
      title: { ...known?.title, ...definition.title },
      properties: { ...known?.properties, ...definition.properties },
      aliases: [...new Set([...(known?.aliases ?? []), ...definition.aliases])],
      least_trust: least_trust ?? usualTrust(definition.name),
      origin: known ? 'extended' : 'own',
    });
  }
  return definitions;
}

type Actor = Omit<AuditEntry, 'action' | 'details'>;

export async function readDefinitions(db: Knex): Promise<Definition[]> {
  return db('event_catalogue').select('name', 'title', 'properties', 'aliases', 'least_trust', 'mode').orderBy('name');
}

/** @throws conflict | invalid_fields, a sentence for each fault */
export async function addDefinition(
  trx: Knex.Transaction,
  definition: Definition,
  actor: Actor,
): Promise<EventDefinition> {
  const others = await readLocked(trx);
  if (others.some(({ name }) => name === definition.name))
    throw fail('conflict', { message: `"${definition.name}" is defined already.` });
  return save(trx, others, definition, { ...actor, action: 'event_definition.created' });
}

/** The whole definition anew. @throws not_found | invalid_fields, a sentence for each fault */
export async function changeDefinition(
  trx: Knex.Transaction,
  definition: Definition,
  actor: Actor,
): Promise<EventDefinition> {
  const all = await readLocked(trx);
  const others = all.filter(({ name }) => name !== definition.name);
  if (others.length === all.length) throw fail('not_found');
  return save(trx, others, definition, { ...actor, action: 'event_definition.changed' });
}

/** What is built in stays. @throws not_found */
export async function removeDefinition(trx: Knex.Transaction, name: string, actor: Actor): Promise<void> {
  if (!(await trx('event_catalogue').where({ name }).delete())) throw fail('not_found');
  await recordAudit(trx, { ...actor, action: 'event_definition.removed', details: { event: name } });
}

/** Two that change the catalogue at once must not both take the same alias. */
async function readLocked(trx: Knex.Transaction): Promise<Definition[]> {
  await trx.raw('lock table event_catalogue in share row exclusive mode');
  return readDefinitions(trx);
}

async function save(
  trx: Knex.Transaction,
  others: Definition[],
  definition: Definition,
  entry: Actor & Pick<AuditEntry, 'action'>,
): Promise<EventDefinition> {
  const faults = collisions(definitionsOf(others), definition);
  if (faults.length) throw fail('invalid_fields', { fields: Object.fromEntries(faults) });
  const { title, properties } = definition;
  await trx('event_catalogue')
    .insert({
      ...definition,
      title: JSON.stringify(title),
      properties: JSON.stringify(properties),
      updated_at: trx.fn.now(),
    })
    .onConflict('name')
    .merge();
  await recordAudit(trx, { ...entry, details: { event: definition.name, mode: definition.mode } });
  const merged = definitionsOf([...others, definition]).get(definition.name);
  if (!merged) throw new Error('a definition that was just stored is not there');
  return merged;
}

/** One name means one event, whoever sends it. */
function collisions(
  known: Map<string, EventDefinition>,
  { name, aliases }: Definition,
): [field: string, sentence: string][] {
  const owners = new Map<string, string>();
  for (const other of known.values())
    if (other.name !== name)
      for (const spelling of [other.name, ...other.aliases]) owners.set(fold(spelling), other.name);
  return [['name', name] as const, ...aliases.map((alias, n) => [`aliases.${n}`, alias] as const)].flatMap(
    ([field, spelling]) => {
      const owner = owners.get(fold(spelling));
      return owner === undefined ? [] : [[field, `"${spelling}" means ${owner} already.`]];
    },
  );
}
