/** Many random groups at once, each with the part of the world that is theirs. */
import fc from 'fast-check';
import { everything } from '../../src/behaviour/needs.ts';
import type { Database } from '../../src/database.ts';
import { readPeople } from '../../src/segments/people.ts';
import type { Person } from '../../src/segments/person.ts';
import type { World } from './oracle-world.ts';
import { type Group, happen, happenings, knownOf, newGroup } from './people.ts';
import { readWorld } from './stored.ts';
import { base } from './vocabulary.ts';

export type Known = { world: World; people: Person[] };

export async function makeGroups(db: Database, seed: number, count: number): Promise<Known[]> {
  const long = fc.array(happenings(), { minLength: 12, maxLength: 30, size: 'max' });
  let now = base - 60_000;
  const groups: Group[] = [];
  for (const history of fc.sample(long, { seed, numRuns: count })) {
    const group = await newGroup(db, new Date(now));
    groups.push(group);
    for (const happening of history) {
      now += 10;
      await happen(db, group, happening, new Date(now));
    }
  }
  const people = new Map<string, Person>();
  await db.transaction(async (trx) => {
    for await (const { person } of readPeople(trx, knownOf(groups).subs, { ...everything, traits: '*' }))
      people.set(person.sub, person);
  });
  return Promise.all(
    groups.map(async (group) => ({
      world: await readWorld(db, knownOf([group])),
      people: group.subs.flatMap((sub) => people.get(sub) ?? []),
    })),
  );
}
