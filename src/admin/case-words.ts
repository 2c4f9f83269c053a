/** A link case as staff read it: the two people, and the evidence in parts that a sentence is made of. */
import type { Knex } from 'knex';
import type { Seal } from '../seal.ts';
import type { Case } from '../subjects/cases.ts';
import { type Brief, briefOf } from './person.ts';

export type ShownCase = Case & { people: [Brief, Brief] };

export async function pairOf(services: { db: Knex; seal: Seal }, found: Case): Promise<ShownCase> {
  const people: [Brief, Brief] = [
    await briefOf(services, found.current.subject),
    await briefOf(services, found.current.other),
  ];
  return { ...found, people };
}
