/**
 * What the database knows of rows that are about to be stored, in one question: which message ids came before, whose the anonymous ids are
 * bound to be, what those people took back, and what contexts it has not seen. It is asked about each id once, however many rows name
 * it, and answers in one row; which row gets what is decided here.
 */
import type pg from 'pg';
import { bindingsSql, boundTo, type KnownBinding } from './bind.ts';
import { sharedSql } from './contexts.ts';
import { patiently } from './copy.ts';
import { type EventRow, knownSql } from './store.ts';
import { type Withdrawal, withdrawnSql } from './withdrawn.ts';

type Question = {
  rows: EventRow[];
  /** By what their message ids are found. */
  keys: string[];
  now: Date;
  /** How far back a message id is looked for. */
  since: Date;
  /** They are stored again: whose they are is known. */
  wasCounted: boolean;
  /** Contexts that it may not have, as JSON. */
  missing: string | undefined;
};

export type Answers = {
  isKnown(n: number): boolean;
  /** Of the binding of its anonymous id. */
  subjectOf(row: EventRow): string | null;
  /** Purposes that this person had taken back when it happened. */
  withdrawnBy(subject_id: string | null, row: EventRow): string[];
  /** Bindings that were used and would idle out. */
  stale: string[];
  /** Ids of missing contexts that are those of others. */
  taken: string[];
  /** The database acknowledges commits that are not on its disk. */
  isHasty: boolean;
};

export async function ask(connection: pg.Client, question: Question): Promise<Answers> {
  const { rows, keys, now, since, wasCounted, missing } = question;
  const visitors = new Set<string>();
  const people = new Set<string>();
  let first = Number.POSITIVE_INFINITY;
  let last = Number.NEGATIVE_INFINITY;
  if (!wasCounted)
    for (const row of rows) {
      if (isForBinding(row)) {
        visitors.add(row.anonymous_id);
        first = Math.min(first, row.timestamp);
        last = Math.max(last, row.timestamp);
      } else if (row.subject_id !== null && row.consents.length > 1) people.add(row.subject_id);
    }
  const values = [
    `{${rows.map(({ source_id }) => source_id).join(',')}}`,
    `{${keys.join(',')}}`,
    since,
    new Date(now.getTime() + dayMs),
    now,
    [...visitors],
    visitors.size ? [new Date(first), new Date(last)] : [],
    [...people],
    ...(missing === undefined ? [] : [missing]),
  ];
  const query = missing === undefined ? askSql : askAndShareSql;
  const { rows: answered } = await patiently(connection, connection.query({ ...query, values }));
  const [{ known, bindings, withdrawn, taken, is_hasty }] = answered as [Answered];
  const isKnown = new Set(known);
  const bindingsOf = bindings && Map.groupBy(bindings, ({ anonymous_id }) => anonymous_id);
  return {
    isKnown: (n) => isKnown.has(n),
    subjectOf: (row) => (isForBinding(row) ? boundTo(bindingsOf?.get(row.anonymous_id) ?? [], row.timestamp) : null),
    withdrawnBy: (subject_id, { consents, timestamp }) =>
      withdrawn && consents.length > 1
        ? withdrawn.filter((w) => w.subject_id === subject_id && w.at <= timestamp).map(({ purpose }) => purpose)
        : [],
    stale: bindings?.flatMap(({ id, is_stale }) => (is_stale ? [id] : [])) ?? [],
    taken: taken ?? [],
    isHasty: is_hasty,
  };
}

type Answered = {
  known: number[] | null;
  bindings: KnownBinding[] | null;
  withdrawn: Withdrawal[] | null;
  taken?: string[] | null;
  is_hasty: boolean;
};

const dayMs = 86_400_000;

const isForBinding = (row: EventRow): row is EventRow & { anonymous_id: string } =>
  row.subject_id === null && row.is_attributable && row.anonymous_id !== null;

const questions = `${knownSql}, ${bindingsSql}, ${withdrawnSql}`;
const answers = `
  select (select json_agg(n) from known) as known,
         (select json_agg(bindings order by bound_at desc) from bindings) as bindings,
         (select json_agg(withdrawn) from withdrawn) as withdrawn,
         current_setting('synchronous_commit') = 'off' as is_hasty`;
const askSql = { name: 'events.ask', text: `with ${questions} ${answers}` };
const askAndShareSql = {
  name: 'events.ask_and_share',
  text: `with ${questions}, ${sharedSql} ${answers}, (select json_agg(id) from taken) as taken`,
};
