/** The world as the database holds it, for the oracle: tables as they are, nothing worked out but the whole context of an event. */
import type { Knex } from 'knex';
import { currentVersion, purposes } from '../../src/consent/consent.ts';
import type { World } from './oracle-world.ts';

const ms = (column: string, as: string) => `extract(epoch from ${column})::float8 * 1000 as "${as}"`;

export async function readWorld(db: Knex): Promise<World> {
  const all = async (sql: string) => (await db.raw(sql)).rows;
  const events = await all(
    `select id, ${ms('"timestamp"', 'timestamp')}, subject_id as sub, anonymous_id as "anonymousId", is_attributable as "isAttributable",
            counts, event, channel, trust, consents, properties, context from recorded_events`,
  );
  return {
    versions: Object.fromEntries(
      Object.keys(purposes).map((name) => [name, currentVersion(name as keyof typeof purposes)]),
    ),
    subjects: await all('select id as sub, status from subjects'),
    aliases: await all('select absorbed_id as absorbed, survivor_id as survivor from subject_aliases'),
    consents: await all(
      `select id, subject_id as sub, purpose, version, is_granted as "isGranted", ${ms('at', 'at')} from consents`,
    ),
    personalisation: await all(
      `select id, subject_id as sub, is_on as "isOn", ${ms('at', 'at')} from personalisation_choices`,
    ),
    identities: await all('select subject_id as sub, kind, issuer from identities'),
    traits: await all(
      `select subject_id::text as id, subject_id as sub, name, value, ${ms('at', 'at')} from profile_traits`,
    ),
    tags: await all('select subject_id as sub, tag from profile_tags'),
    lists: await all(
      'select s.key as segment, l.subject_id as sub from segment_list l join segments s on s.id = l.segment_id',
    ),
    bindings: await all(
      `select subject_id as sub, anonymous_id as "anonymousId", ${ms('from_at', 'from')}, ${ms('until_at', 'until')} from binding_lookbacks`,
    ),
    events,
  };
}
