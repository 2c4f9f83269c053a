/** Tables trait_definitions, rfm_settings: which traits are worked out, and how. */
import type { Knex } from 'knex';
import type { RfmSettings } from './rfm.ts';
import type { OwnTrait } from './trait.ts';

/** What computed traits are compiled from, in one statement. */
export async function readComputedRows(db: Knex): Promise<{ own: OwnTrait[]; rfm: RfmSettings | null }> {
  const { rows } = await db.raw(
    `select coalesce((select json_agg(json_build_object('name', name, 'title', title, 'definition', definition, 'tz', tz) order by name)
                        from trait_definitions), '[]') as own,
            (select settings from rfm_settings) as rfm`,
  );
  return rows[0];
}

export type TraitRow = OwnTrait & { version: number; created_at: Date; created_by: string; updated_at: Date };

export async function traitDefinitions(db: Knex): Promise<TraitRow[]> {
  return db('trait_definitions')
    .select('name', 'title', 'definition', 'tz', 'version', 'created_at', 'created_by', 'updated_at')
    .orderBy('name');
}

/** False: the name is taken. */
export async function insertDefinition(
  trx: Knex,
  { title, definition, ...trait }: OwnTrait & { created_at: Date; created_by: string },
): Promise<boolean> {
  const rows = await trx('trait_definitions')
    .insert({
      ...trait,
      title: JSON.stringify(title),
      definition: JSON.stringify(definition),
      updated_at: trait.created_at,
    })
    .onConflict('name')
    .ignore()
    .returning('name');
  return rows.length > 0;
}

/** False: there is none. */
export async function updateDefinition(
  trx: Knex,
  { name, title, definition, tz }: OwnTrait,
  updated_at: Date,
): Promise<boolean> {
  const count = await trx('trait_definitions')
    .where({ name })
    .update({
      title: JSON.stringify(title),
      definition: JSON.stringify(definition),
      tz,
      updated_at,
      version: trx.raw('version + 1'),
    });
  return count > 0;
}

export async function deleteDefinition(trx: Knex, name: string): Promise<boolean> {
  return (await trx('trait_definitions').where({ name }).delete()) > 0;
}

export async function writeRfm(
  trx: Knex,
  { settings, at, by }: { settings: RfmSettings; at: Date; by: string },
): Promise<void> {
  await trx('rfm_settings')
    .insert({ is_only: true, settings: JSON.stringify(settings), updated_at: at, updated_by: by })
    .onConflict('is_only')
    .merge();
}
