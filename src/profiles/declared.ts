/**
 * Declared traits: what somebody says of a person. Of each trait one word counts, of whoever said it last:
 *
 *   a server's `identify` or `group`, a program, staff    by when it was said, whatever arrives first
 *   the person, by a token of theirs                      only where none of the others ever said anything
 *   a public key                                          never: anybody could (threat F2)
 *
 * What proves who somebody is (a phone number, an address) is an identity and no trait.
 */
import type { Knex } from 'knex';
import type { Clock } from '../clock.ts';
import { type FieldErrors, fail } from '../errors.ts';
import type { Activity } from '../events/activity.ts';
import { storableJson } from '../events/storable.ts';
import { readWords, sayWords, setWords, type Word } from './declared-store.ts';
import { isTaken, isTraitName } from './trait-names.ts';

const mostTraits = 200;
export const mostBytes = 8 * 1024;

/** `group` says of a person which group they belong to; its traits are the group's. */
const saying = new Set(['identified', 'grouped']);

/** Reads what was said in the events of these sums. Reading an event again changes nothing. */
export async function keepDeclared(trx: Knex.Transaction, sums: Activity[]): Promise<void> {
  const said = sums.filter(({ event, counts }) => counts && saying.has(event));
  if (!said.length) return;
  const events = await readWords(trx, said);
  const words = events.flatMap(({ event, properties, trust, source_id, ...at }) => {
    const source = trust === 'token' ? 'self' : `identify:${source_id}`;
    return Object.entries(properties)
      .filter(([name, value]) => (event === 'identified' || name === 'group_id') && !faultOf(name, value))
      .map(([name, value]): Word => ({ ...at, name, value, source }));
  });
  await sayWords(trx, words, mostTraits);
}

/** Why this cannot be a trait. */
function faultOf(name: string, value: unknown): string | undefined {
  if (!isTraitName(name))
    return 'A name is 1 to 100 letters, digits, "_", "-" and ".", and begins with a letter or "_".';
  if (isTaken(name)) return 'This is worked out, or proves who somebody is: it cannot be declared.';
  const text = JSON.stringify(value);
  if (Buffer.byteLength(text) > mostBytes) return 'A value has at most 8 KB.';
  return storableJson(value) === text ? undefined : 'A text holds a NUL or half of a character: it cannot be stored.';
}

/**
 * A word of a program or of staff, which counts from now on; null takes the trait away.
 *
 * @param source `client:<client id>` or `staff:<sub>` @throws invalid_fields: a sentence for each that cannot be
 */
export async function declareTraits(
  trx: Knex.Transaction,
  { clock }: { clock: Clock },
  { sub, traits, source }: { sub: string; traits: Record<string, unknown>; source: string },
): Promise<void> {
  const fields: FieldErrors = {};
  for (const [name, value] of Object.entries(traits)) {
    const sentence = faultOf(name, value);
    // Not by an assignment, which would set the prototype for one of these names.
    if (sentence)
      Object.defineProperty(fields, name.slice(0, 100), { value: sentence, enumerable: true, configurable: true });
  }
  if (!Object.keys(traits).length) fields.body = 'Name at least one trait.';
  if (Object.keys(fields).length) throw fail('invalid_fields', { fields });
  const words = Object.entries(traits).map(([name, value]) => ({
    subject_id: sub,
    name,
    value,
    source,
    at: clock.now(),
  }));
  const count = await setWords(trx, sub, words);
  if (count > mostTraits)
    throw fail('invalid_fields', { fields: { body: `A person has at most ${mostTraits} traits.` } });
}
