/** The definitions in force, compiled once and kept until one of them changes. */
import type { Knex } from 'knex';
import type { Logger } from '../log.ts';
import type { Segment } from './definition.ts';
import { type CompiledSegment, compileSegment } from './evaluate.ts';
import { isTouchedBy, type Needs, needsOf } from './needs.ts';
import { type BuildRow, readBuilds, readDefinitions, readRevision } from './store.ts';

/** A build that is kept up to date with every event. */
export type Rule = Omit<BuildRow, 'definition'> & { compiled: CompiledSegment };

export type Rules = {
  revision: number;
  byBuild: ReadonlyMap<number, Rule>;
  /** Those whose answer such an event can change. */
  touchedBy(event: string, channel: string): Rule[];
  /** What has to be read of a person to ask all of these. */
  needs(rules: Iterable<Rule>, at: number): Needs;
};

export type RulesReader = (db: Knex) => Promise<Rules>;

/** Ask after the notes of a round were taken: a build that began before has then seen what they are about. */
export function createRulesReader({ log }: { log: Logger }): RulesReader {
  let kept: Rules | undefined;
  return async (db) => {
    const revision = await readRevision(db);
    if (kept?.revision !== revision) kept = await compileRules(db, revision, log);
    return kept;
  };
}

async function compileRules(db: Knex, revision: number, log: Logger): Promise<Rules> {
  const definitionOf = await readDefinitionsByKey(db);
  const segmentOf = compileThrough(definitionOf);
  const byBuild = new Map<number, Rule>();
  for (const { definition, ...build } of await readBuilds(db)) {
    try {
      byBuild.set(build.build_id, { ...build, compiled: compileSegment(definition, { segmentOf }) });
    } catch (error) {
      // Checked when it was written: only a fault of ours comes here, and it must not stop the others.
      log.error({ err: error, segment: build.segment_key }, 'segments: a definition cannot be evaluated');
    }
  }
  const touched = new Map<string, Rule[]>();
  return {
    revision,
    byBuild,
    touchedBy(event, channel) {
      const key = `${channel} ${event}`;
      const known =
        touched.get(key) ??
        [...byBuild.values()].filter(({ compiled }) => isTouchedBy(compiled, { event, channel }, { segmentOf }));
      // Names are the sender's: a flood of new ones must not fill the memory.
      if (touched.size < 10_000) touched.set(key, known);
      return known;
    },
    needs: (rules, at) =>
      needsOf(
        [...rules].map(({ compiled }) => compiled),
        at,
        { segmentOf },
      ),
  };
}

/** The definition in force by key; undefined of a list, whose members people know of. */
export async function readDefinitionsByKey(db: Knex): Promise<(key: string) => Segment | undefined> {
  const rules = (await readDefinitions(db)).filter(({ kind }) => kind === 'rule');
  const definitions = new Map(rules.map(({ key, definition }) => [key, definition]));
  return (key) => definitions.get(key);
}

/** Each compiled once, when the first definition looks through it. */
export function compileThrough(
  definitionOf: (key: string) => Segment | undefined,
): (key: string) => CompiledSegment | undefined {
  const compiled = new Map<string, CompiledSegment>();
  const segmentOf = (key: string) => {
    const definition = definitionOf(key);
    if (!definition || compiled.has(key)) return compiled.get(key);
    const made = compileSegment(definition, { segmentOf });
    compiled.set(key, made);
    return made;
  };
  return segmentOf;
}

/** The keys of the segments that a definition looks through. */
export function segmentsIn(definition: Segment): Set<string> {
  return new Set(compileSegment(definition, { segmentOf: () => undefined }).reads.segments);
}
