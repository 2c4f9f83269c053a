/** The world as the database holds it, for the oracle: tables as they are, nothing worked out but the whole context of an event. */
import type { Knex } from 'knex';
import { currentVersion, purposes } from '../../src/consent/consent.ts';
import type { World } from './oracle-world.ts';

const ms = (column: string, as: string) => `extract(epoch from ${column})::float8 * 1000 as "${as}"`;

/** @param only of these subs and of these anonymous ids; everything without */
export async function readWorld(db: Knex, only?: { subs: string[]; devices: string[] }): Promise<World> {
  const all = async (sql: string, ...subs: string[]) => {
    const where = subs.map((column) => `${column} = any (:subs::uuid[])`).join(' or ');
    return (await db.raw(only ? `${sql} where ${where}` : sql, only ?? {})).rows;
  };
  return {
    versions: Object.fromEntries(
      Object.keys(purposes).map((name) => [name, currentVersion(name as keyof typeof purposes)]),
    ),
    subjects: await all(`select id as sub, status, ${ms('created_at', 'createdAt')} from subjects`, 'id'),
    aliases: await all('select absorbed_id as absorbed, survivor_id as survivor from subject_aliases', 'survivor_id'),
    consents: await all(
      `select id, subject_id as sub, purpose, version, is_granted as "isGranted", ${ms('at', 'at')} from consents`,
      'subject_id',
    ),
    personalisation: await all(
      `select id, subject_id as sub, is_on as "isOn", ${ms('at', 'at')} from personalisation_choices`,
      'subject_id',
    ),
    identities: await all('select subject_id as sub, kind, issuer from identities', 'subject_id'),
    traits: await all(
      `select id, subject_id as sub, name, value, ${ms('at', 'at')}, source = 'self' as "isOwn" from profile_traits`,
      'subject_id',
    ),
    workings: (await db.raw('select name, definition, tz from trait_definitions')).rows,
    rfm: (await db('rfm_settings').first('settings'))?.settings ?? null,
    tags: await all('select subject_id as sub, tag from profile_tags', 'subject_id'),
    tagRules: (await db.raw('select tag, segment_key as segment from tag_rules')).rows,
    lists: await all(
      'select s.key as segment, l.subject_id as sub from segment_list l join segments s on s.id = l.segment_id',
      'l.subject_id',
    ),
    bindings: await all(
      `select subject_id as sub, anonymous_id as "anonymousId", ${ms('from_at', 'from')}, ${ms('until_at', 'until')} from binding_lookbacks`,
      'subject_id',
    ),
    events: await all(
      `select id, ${ms('"timestamp"', 'timestamp')}, subject_id as sub, anonymous_id as "anonymousId",
              is_attributable as "isAttributable", counts, event, channel, trust, consents, properties, context from recorded_events`,
      'anonymous_id = any (:devices::text[]) or subject_id',
    ),
  };
}
