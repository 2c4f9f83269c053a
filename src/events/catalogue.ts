/**
 * What events mean, as the intake asks it: the canonical name of whatever a tracker calls an event, its properties as the types they
 * should be of, and the least trust below which it is stored and shown but counts for nothing. What is defined, and by whom, is
 * definitions.ts. A name that nobody knows is accepted as it is.
 */
import type { Clock } from '../clock.ts';
import type { Database } from '../database.ts';
import {
  type Definition,
  definitionsOf,
  type EventDefinition,
  fold,
  readDefinitions,
  usualTrust,
} from './definitions.ts';
import { type Checks, checksOf, conform, type Fault } from './property-types.ts';
import { remembering } from './remembering.ts';
import { reaches, type Trust } from './trust.ts';

/** Least trust per event name where a write key differs from the catalogue. */
export type CatalogueOverride = Record<string, Trust>;

export type Catalogue = {
  /** By name, the canonical ones. */
  definitions: ReadonlyMap<string, EventDefinition>;
  /** Our name for an event, whatever the sender calls it. */
  canonicalName(name: string): string;
  /** What it takes to count. */
  leastTrust(name: string, override: CatalogueOverride): Trust;
  counts(name: string, trust: Trust, override: CatalogueOverride): boolean;
  /** Its properties with what is safely of the type it should be, and why the event is refused, if it is. */
  conform(
    name: string,
    properties: Record<string, unknown>,
  ): { properties: Record<string, unknown>; fault?: Fault | undefined };
};

export function createCatalogue(own: Definition[]): Catalogue {
  const definitions = definitionsOf(own);
  const names = new Map<string, string>();
  const checks = new Map<string, Checks>();
  for (const { name, aliases, properties } of definitions.values()) {
    for (const known of [name, ...aliases]) names.set(fold(known), name);
    checks.set(name, checksOf(properties));
  }
  const leastTrust = (name: string, override: CatalogueOverride): Trust =>
    (Object.hasOwn(override, name) ? override[name] : undefined) ??
    definitions.get(name)?.least_trust ??
    usualTrust(name);
  return {
    definitions,
    canonicalName: (name) => (definitions.has(name) ? name : (names.get(fold(name)) ?? name)),
    leastTrust,
    counts: (name, trust, override) => reaches(trust, leastTrust(name, override)),
    conform(name, given) {
      const found = checks.get(name);
      if (!found?.length) return { properties: given };
      const { properties, fault } = conform(given, found);
      return { properties, fault: definitions.get(name)?.mode === 'enforce' ? fault : undefined };
    },
  };
}

/** The catalogue in force; a change by the company is seen by every process within seconds. */
export function catalogueReader({ db, clock }: { db: Database; clock: Clock }): () => Promise<Catalogue> {
  const read = remembering(clock, async () => createCatalogue(await readDefinitions(db)));
  return () => read('');
}
