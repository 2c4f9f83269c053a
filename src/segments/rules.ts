/** The definitions in force, compiled once and kept until one of them changes. */
import type { Knex } from 'knex';
import type { Logger } from '../log.ts';
import { readWorkings } from '../profiles/computed.ts';
import type { ComputedTrait } from '../profiles/trait.ts';
import type { Segment } from './definition.ts';
import { type CompiledSegment, type CompileOptions, compileSegment } from './evaluate.ts';
import { isTouchedBy, type Needs, needsOf } from './needs.ts';
import { type BuildRow, readBuilds, readDefinitions, readRevision } from './store.ts';
import { readTagRules } from './tag-rule-store.ts';

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
  const through = compileThrough(await readReferences(db));
  const byBuild = new Map<number, Rule>();
  for (const { definition, ...build } of await readBuilds(db)) {
    try {
      byBuild.set(build.build_id, { ...build, compiled: compileSegment(definition, through) });
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
        [...byBuild.values()].filter(
          ({ compiled, is_paused }) => !is_paused && isTouchedBy(compiled, { event, channel }, through),
        );
      // Names are the sender's: a flood of new ones must not fill the memory.
      if (touched.size < 10_000) touched.set(key, known);
      return known;
    },
    needs: (rules, at) =>
      needsOf(
        [...rules].map(({ compiled }) => compiled),
        at,
        through,
      ),
  };
}

/** What definitions refer to, as it is in force. */
export type References = {
  /** A list too: it has a purpose. */
  segmentOf(key: string): Segment | undefined;
  /** Undefined of a declared trait. */
  traitOf(name: string): ComputedTrait | undefined;
  segmentsTagging(tag: string): string[];
};

export async function readReferences(db: Knex): Promise<References> {
  const rows = await readDefinitions(db);
  const { traits } = await readWorkings(db);
  const segmentsTagging = await readTagging(db);
  const definitions = new Map(rows.map(({ key, definition }) => [key, definition]));
  return {
    segmentOf: (key) => definitions.get(key),
    traitOf: (name) => traits.get(name),
    segmentsTagging,
  };
}

/** By which segments a tag is carried. */
export async function readTagging(db: Knex): Promise<(tag: string) => string[]> {
  const rules = Map.groupBy(await readTagRules(db), ({ tag }) => tag);
  return (tag) => rules.get(tag)?.map(({ segment }) => segment) ?? [];
}

/** Each definition compiled once, when the first one looks through it. */
export function compileThrough({ segmentOf: definitionOf, ...references }: References): CompileOptions {
  const compiled = new Map<string, CompiledSegment>();
  const segmentOf = (key: string) => {
    const definition = definitionOf(key);
    if (!definition || compiled.has(key)) return compiled.get(key);
    const made = compileSegment(definition, through);
    compiled.set(key, made);
    return made;
  };
  const through = { ...references, segmentOf };
  return through;
}

/** What a definition looks at besides events: names of traits and tags, keys of segments (those that give one of the tags among them). */
export function referencesIn(
  definition: Segment,
  segmentsTagging: References['segmentsTagging'],
): Record<'traits' | 'tags' | 'segments', Set<string>> {
  const { reads } = compileSegment(definition, { segmentOf: () => undefined, segmentsTagging });
  return { traits: new Set(reads.traits), tags: new Set(reads.tags), segments: new Set(reads.segments) };
}

/** Whether a definition asks for this segment, also by a tag that it gives. */
export function looksThrough(
  key: string,
  segmentsTagging: References['segmentsTagging'],
): (definition: Segment) => boolean {
  return (definition) => referencesIn(definition, segmentsTagging).segments.has(key);
}
