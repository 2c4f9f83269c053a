/** What a definition is asked about: one person with everything that is known now. */
import type { BehaviourEvent } from '../behaviour/language.ts';

export type Person = {
  sub: string;
  isActive: boolean;
  /** Purposes agreed to in the version in force, and `service`. */
  agreed: ReadonlySet<string>;
  isPersonalised: boolean;
  /** Verified ones, of subs that were absorbed too. */
  identities: { kind: string; issuer: string }[];
  tags: ReadonlySet<string>;
  /** Keys of the manual segments that list the person. */
  lists: ReadonlySet<string>;
  /** Declared ones, of any JSON value; dates as text. */
  traits: ReadonlyMap<string, unknown>;
  /** All that count, for whatever purpose, in order. */
  events: BehaviourEvent[];
};
