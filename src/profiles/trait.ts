/** What a trait is that is worked out of events: as it is defined, and compiled. */
import type { ValueQuestion } from '../behaviour/computed.ts';
import type { ComputedNode } from '../behaviour/language.ts';
import type { ComputedSql } from '../behaviour/sql/computed.ts';

export type Title = { 'zh-CN': string; en: string };
export type TraitDefinition = { name: string; title: Title; definition: ComputedNode };

/** As the company defines one. */
export type OwnTrait = TraitDefinition & {
  /** IANA name, of calendar windows and days. */
  tz: string;
};

export type ComputedTrait = {
  name: string;
  title: Title;
  origin: 'system' | 'company';
  /** Null of what is more than one value of events. */
  definition: ComputedNode | null;
  question: ValueQuestion;
  sql: ComputedSql;
};
