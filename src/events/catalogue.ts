/**
 * What events mean: canonical names with titles and typed properties, the names that other vendors use for them, and the least
 * trust below which an event is stored and shown but counts for nothing. Built in is builtin-catalogue.ts; a company adds its own
 * (table event_catalogue). A name that nobody knows is accepted as it is, and so is a property of another type: types document.
 */
import type { Clock } from '../clock.ts';
import type { Database } from '../database.ts';
import { builtin } from './builtin-catalogue.ts';
import { remembering } from './remembering.ts';
import { reaches, type Trust } from './trust.ts';

export type PropertyType = 'string' | 'number' | 'money' | 'boolean' | 'time' | 'list' | 'object';

export type EventDefinition = {
  name: string;
  title: Record<string, string>;
  properties: Record<string, PropertyType>;
  aliases: string[];
  least_trust?: Trust;
};

/** Least trust per event name where a write key differs from the catalogue. */
export type CatalogueOverride = Record<string, Trust>;

export type Catalogue = {
  /** Our name for an event, whatever the sender calls it. */
  canonicalName(name: string): string;
  /** What it takes to count. */
  leastTrust(name: string, override: CatalogueOverride): Trust;
  counts(name: string, trust: Trust, override: CatalogueOverride): boolean;
};

/** Events that mean money: anybody could send them with a public key, so only a server's count unless the company says so. */
const money = /^(order|payment|refund|points|coupon)_/;

type Known = Pick<EventDefinition, 'name' | 'aliases' | 'least_trust'>;

function createCatalogue(additions: Known[]): Catalogue {
  const definitions = new Map<string, Known>();
  for (const definition of [...builtin, ...additions]) definitions.set(definition.name, definition);
  const names = new Map<string, string>();
  for (const { name, aliases } of definitions.values()) {
    for (const alias of aliases) names.set(alias.toLowerCase(), name);
  }
  const leastTrust = (name: string, override: CatalogueOverride): Trust =>
    (Object.hasOwn(override, name) ? override[name] : undefined) ??
    definitions.get(name)?.least_trust ??
    (money.test(name) ? 'server' : 'claimed');
  return {
    canonicalName(name) {
      if (definitions.has(name)) return name;
      const plain = name.toLowerCase();
      const snake = plain.replace(/[\s-]+/g, '_');
      return names.get(plain) ?? (definitions.has(snake) ? snake : name);
    },
    leastTrust,
    counts: (name, trust, override) => reaches(trust, leastTrust(name, override)),
  };
}

/** The catalogue in force; a change by the company is seen by every process within seconds. */
export function catalogueReader({ db, clock }: { db: Database; clock: Clock }): () => Promise<Catalogue> {
  const read = remembering(clock, async () => {
    return createCatalogue(await db('event_catalogue').select('name', 'least_trust', 'aliases').orderBy('name'));
  });
  return () => read('');
}
