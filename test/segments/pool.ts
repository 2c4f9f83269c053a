/** Many random groups at once, each with the part of the world that is theirs. */
import fc from 'fast-check';
import type { Database } from '../../src/database.ts';
import { readPeople } from '../../src/segments/people.ts';
import type { Person } from '../../src/segments/person.ts';
import { base } from './definitions.ts';
import type { World } from './oracle-world.ts';
import { type Group, happen, happenings, newGroup } from './people.ts';
import { readWorld } from './stored.ts';

export type Known = { world: World; people: Person[] };

export async function makeGroups(db: Database, seed: number, count: number): Promise<Known[]> {
  const long = fc.array(happenings(), { minLength: 12, maxLength: 30, size: 'max' });
  let now = base - 60_000;
  const groups: Group[] = [];
  for (const history of fc.sample(long, { seed, numRuns: count })) {
    const group = await newGroup(db);
    groups.push(group);
    for (const happening of history) {
      now += 10;
      await happen(db, group, happening, new Date(now));
    }
  }
  const world = await readWorld(db);
  const subs = world.subjects.map(({ sub }) => sub);
  const people = await readPeople(db, subs, { names: '*', since: null });
  return groups.map((group) => ({
    world: worldOf(group, world),
    people: group.subs.flatMap((sub) => people.get(sub) ?? []),
  }));
}

export function worldOf({ name, subs }: Group, world: World): World {
  const ours = <T extends { sub: string }>(rows: T[]) => rows.filter(({ sub }) => subs.includes(sub));
  return {
    ...world,
    subjects: ours(world.subjects),
    aliases: world.aliases.filter(({ survivor }) => subs.includes(survivor)),
    consents: ours(world.consents),
    personalisation: ours(world.personalisation),
    identities: ours(world.identities),
    traits: ours(world.traits),
    tags: ours(world.tags),
    lists: ours(world.lists),
    bindings: ours(world.bindings),
    events: world.events.filter(
      ({ sub, anonymousId }) => (sub && subs.includes(sub)) || anonymousId?.startsWith(`${name}-`),
    ),
  };
}
