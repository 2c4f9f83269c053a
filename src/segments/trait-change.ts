/**
 * Traits that are worked out, as staff and programs define them. Segments that read one are evaluated for everybody again when it becomes
 * another; until that is done, who is looked at meanwhile is judged by the new one.
 */
import type { Knex } from 'knex';
import { fail } from '../errors.ts';
import { parseTrait } from '../profiles/computed.ts';
import { type RfmSettings, rfmNames } from '../profiles/rfm.ts';
import type { OwnTrait } from '../profiles/trait.ts';
import { deleteDefinition, insertDefinition, updateDefinition, writeRfm } from '../profiles/trait-store.ts';
import { rebuildReaders } from './build.ts';
import type { SegmentServices } from './check.ts';
import { sentenceOf } from './parse.ts';
import { orderDefinitions } from './queue.ts';
import { readTagging, referencesIn } from './rules.ts';
import { raiseRevision, standingDefinitions } from './store.ts';

async function checkedTrait(services: SegmentServices, json: unknown): Promise<OwnTrait> {
  const parsed = parseTrait(json, await services.readCatalogue());
  if ('trait' in parsed) return parsed.trait;
  const sentences = parsed.faults.map((fault) => [fault.path, sentenceOf(fault, services.translate)]);
  throw fail('invalid_fields', { fields: Object.fromEntries(sentences) });
}

/** @throws invalid_fields: a sentence for every fault, by its path | conflict: there is one of this name */
export async function defineTrait(
  trx: Knex.Transaction,
  services: SegmentServices,
  json: unknown,
  by: string,
): Promise<OwnTrait> {
  await orderDefinitions(trx);
  const trait = await checkedTrait(services, json);
  const isNew = await insertDefinition(trx, { ...trait, created_at: services.clock.now(), created_by: by });
  if (!isNew) throw fail('conflict', { fields: { name: 'There is a trait of this name.' } });
  await rebuildTraitReaders(trx, services, [trait.name]);
  return trait;
}

/** @throws invalid_fields: also another name than the one it is about | not_found */
export async function editTrait(
  trx: Knex.Transaction,
  services: SegmentServices,
  name: string,
  json: unknown,
): Promise<OwnTrait> {
  await orderDefinitions(trx);
  const trait = await checkedTrait(services, json);
  if (trait.name !== name) throw fail('invalid_fields', { fields: { name: 'The name of a trait stays.' } });
  if (!(await updateDefinition(trx, trait, services.clock.now()))) throw fail('not_found');
  await rebuildTraitReaders(trx, services, [name]);
  return trait;
}

/** @throws not_found | conflict: a segment asks for it */
export async function removeTrait(trx: Knex.Transaction, name: string): Promise<void> {
  await orderDefinitions(trx);
  if (!(await deleteDefinition(trx, name))) throw fail('not_found');
  const tagging = await readTagging(trx);
  const reader = (await standingDefinitions(trx)).find(({ definition }) =>
    referencesIn(definition, tagging).traits.has(name),
  );
  if (reader) throw fail('conflict', { message: `The segment "${reader.key}" asks for this trait.` });
  await raiseRevision(trx);
}

export async function changeRfm(
  trx: Knex.Transaction,
  services: SegmentServices,
  settings: RfmSettings,
  by: string,
): Promise<void> {
  await orderDefinitions(trx);
  await writeRfm(trx, { settings, at: services.clock.now(), by });
  await rebuildTraitReaders(trx, services, rfmNames);
}

async function rebuildTraitReaders(trx: Knex.Transaction, { clock }: SegmentServices, names: string[]): Promise<void> {
  await raiseRevision(trx);
  const tagging = await readTagging(trx);
  await rebuildReaders(
    trx,
    (definition) => names.some((name) => referencesIn(definition, tagging).traits.has(name)),
    clock.now(),
  );
}
