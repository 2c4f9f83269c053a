/**
 * Traits that are worked out of events when somebody asks: those of every profile (system-traits.ts, rfm.ts) and the company's own, which
 * are data. Nothing of them is kept, so a late event, a merge or its undo corrects nothing here.
 */
import type { Knex } from 'knex';
import { compileComputed } from '../behaviour/computed.ts';
import {
  type Fault,
  fault,
  fieldsOf,
  needed,
  type Place,
  type Reading,
  readText,
  startReading,
} from '../behaviour/faults.ts';
import { measure } from '../behaviour/measure.ts';
import { readComputed } from '../behaviour/parse-computed.ts';
import { readTimeZone, usualTimeZone } from '../behaviour/parse-window.ts';
import { computedSql } from '../behaviour/sql/computed.ts';
import { type RfmSettings, rfmTraits, usualRfm } from './rfm.ts';
import { systemTraits } from './system-traits.ts';
import type { ComputedTrait, OwnTrait, Title } from './trait.ts';
import { isTaken, isTraitName } from './trait-names.ts';
import { readComputedRows } from './trait-store.ts';

/** By name. */
type ComputedTraits = ReadonlyMap<string, ComputedTrait>;

function compiled({ name, title, definition, tz }: OwnTrait, origin: ComputedTrait['origin']): ComputedTrait {
  return {
    name,
    title,
    origin,
    definition,
    question: compileComputed(definition, tz),
    sql: computedSql(definition, tz),
  };
}

function compileTraits({ own, rfm }: { own: OwnTrait[]; rfm: RfmSettings | null }): ComputedTraits {
  const system = systemTraits.map((trait) => compiled({ ...trait, tz: usualTimeZone }, 'system'));
  const all = [...own.map((trait) => compiled(trait, 'company')), ...system, ...rfmTraits(rfm ?? usualRfm)];
  return new Map(all.map((trait) => [trait.name, trait]));
}

/** What is worked out, and by which thresholds. */
type Workings = { traits: ComputedTraits; rfm: RfmSettings };
let kept: (Workings & { text: string }) | undefined;

/** The ones in force. Compiled when they differ from what was asked last. */
export async function readWorkings(db: Knex): Promise<Workings> {
  const rows = await readComputedRows(db);
  const text = JSON.stringify(rows);
  if (kept?.text !== text) kept = { text, traits: compileTraits(rows), rfm: rows.rfm ?? usualRfm };
  return kept;
}

/** `{ name, title: { "zh-CN", "en" }, definition, tz? }` read from JSON: every fault at once. */
export function parseTrait(
  json: unknown,
  { canonicalName }: { canonicalName(name: string): string },
): { trait: OwnTrait } | { faults: Fault[] } {
  const tooMuch = measure(json);
  if (tooMuch) return { faults: [tooMuch] };
  const reading = startReading(canonicalName);
  const trait = readTrait(reading, { json, path: '', level: 1 });
  return trait && !reading.faults.length ? { trait } : { faults: reading.faults };
}

function readTrait(reading: Reading, place: Place): OwnTrait | null {
  const fields = fieldsOf(reading, place, ['name', 'title', 'definition', 'tz']);
  if (!fields) return null;
  const [name, title, definition] = (['name', 'title', 'definition'] as const).map((field) =>
    needed(reading, place, fields, field),
  );
  return {
    name: name ? readName(reading, name) : '',
    title: title ? readTitle(reading, title) : { 'zh-CN': '', en: '' },
    definition: definition ? readComputed(reading, definition) : { event: '', count: true },
    tz: fields.tz ? readTimeZone(reading, fields.tz) : usualTimeZone,
  };
}

function readName(reading: Reading, place: Place): string {
  const { json } = place;
  if (typeof json !== 'string' || !isTraitName(json)) fault(reading, place, 'bad_trait_name');
  else if (isTaken(json)) fault(reading, place, 'taken_trait');
  return typeof json === 'string' ? json : '';
}

function readTitle(reading: Reading, place: Place): Title {
  const fields = fieldsOf(reading, place, ['zh-CN', 'en']) ?? {};
  const [zh, en] = ['zh-CN', 'en'].map((language) => needed(reading, place, fields, language));
  return { 'zh-CN': zh ? readText(reading, zh, 100) : '', en: en ? readText(reading, en, 100) : '' };
}
