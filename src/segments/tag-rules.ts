/** Tags by rule: members of a segment carry the tag as long as they are members. In a definition the tag means whoever was given it, or is one. */
import type { Knex } from 'knex';
import { fail } from '../errors.ts';
import { rebuildReaders } from './build.ts';
import { ringThrough, type SegmentServices } from './check.ts';
import { orderDefinitions } from './queue.ts';
import { readTagging, referencesIn } from './rules.ts';
import { raiseRevision, standingDefinitions } from './store.ts';
import { deleteTagRule, insertTagRule, type TagRule } from './tag-rule-store.ts';

/** @returns false: it was there @throws not_found: no such segment | invalid_fields: the segment asks, through others maybe, for the tag */
export async function addTagRule(
  trx: Knex.Transaction,
  services: SegmentServices,
  { tag, segment, by }: { tag: string; segment: string; by: string },
): Promise<boolean> {
  await orderDefinitions(trx);
  const standing = await standingDefinitions(trx);
  const own = standing.filter(({ key }) => key === segment);
  if (!own.length) throw fail('not_found');
  const isNew = await insertTagRule(trx, { tag, segment, created_at: services.clock.now(), created_by: by });
  if (!isNew) return false;
  const tagging = await readTagging(trx);
  for (const { definition } of own) {
    const ring = ringThrough(definition, standing, tagging);
    // A list says in its definition that it is itself.
    if (ring && ring.length > 2) throw refused(ring);
    const asksItself = referencesIn(definition, () => []).tags.has(tag);
    if (asksItself) throw refused([segment, segment]);
  }
  await rebuildTagReaders(trx, services, tag);
  return true;
}

function refused(ring: string[]) {
  return fail('invalid_fields', { fields: { segment: `This segment asks for its own tag: ${ring.join(' → ')}.` } });
}

/** @throws not_found */
export async function removeTagRule(
  trx: Knex.Transaction,
  services: SegmentServices,
  rule: Pick<TagRule, 'tag' | 'segment'>,
): Promise<void> {
  await orderDefinitions(trx);
  if (!(await deleteTagRule(trx, rule))) throw fail('not_found');
  await rebuildTagReaders(trx, services, rule.tag);
}

async function rebuildTagReaders(trx: Knex.Transaction, { clock }: SegmentServices, tag: string): Promise<void> {
  await raiseRevision(trx);
  await rebuildReaders(trx, (definition) => referencesIn(definition, () => []).tags.has(tag), clock.now());
}
