/**
 * The identity graph as the tables hold it, and what must hold of it at any moment. Knows the rules of the architecture and none of
 * the code that keeps them:
 *
 *   home    the sub an identity was linked to; it never changes
 *   root    where the standing merges lead from a sub
 *   ⇒       an identity sits on the root of its home, an alias leads to the root, an event is read under the root of its sub
 */
import type { Database } from '../../src/database.ts';

export type GraphIdentity = {
  id: string;
  subject_id: string;
  kind: string;
  issuer: string;
  is_superseded: boolean;
  created_at: string;
};
export type GraphMerge = {
  id: string;
  survivor_id: string;
  absorbed_id: string;
  basis: string;
  merged_at: string;
  is_undone: boolean;
};
type GraphSubject = { id: string; status: string; nickname: string | null; channel: string | null };
type Resolved = { requested_id: string; subject_id: string; status: string };
type Graph = {
  subjects: Map<string, GraphSubject>;
  identities: Map<string, GraphIdentity>;
  merges: Map<string, GraphMerge>;
  aliases: { absorbed_id: string; survivor_id: string }[];
  /** sub → who stands for it, as programs read it. */
  current: Map<string, Resolved[]>;
  /** identity → the sub it was linked to. */
  homes: Map<string, string>;
  /** Identities that were taken away on purpose. */
  removed: Set<string>;
  audited: Map<string, number>;
  published: Map<string, number>;
  cases: { id: string; subject_id: string; other_subject_id: string }[];
};

export type { Graph };

const at = (column: string) => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') as ${column}`;

export async function readGraph(db: Database): Promise<Graph> {
  const all = async (sql: string) => (await db.raw(sql)).rows;
  const [subjects, identities, merges, aliases, current, audit, outbox, cases] = await Promise.all([
    all(`select s.id, s.status, s.nickname, a.details ->> 'channel' as channel
           from subjects s left join audit_entries a on a.subject_id = s.id and a.action = 'subject.created' order by s.id`),
    all(`select id, subject_id, kind, issuer, superseded_at is not null as is_superseded, ${at('created_at')}
           from identities order by id`),
    all(`select id, survivor_id, absorbed_id, basis, undone_at is not null as is_undone, ${at('merged_at')}
           from merges order by id`),
    all('select absorbed_id, survivor_id from subject_aliases'),
    all('select requested_id, subject_id, status from current_subjects'),
    all(`select action, subject_id, details ->> 'identity_id' as identity_id, details ->> 'merge_id' as merge_id
           from audit_entries where details ->> 'identity_id' is not null or details ->> 'merge_id' is not null`),
    all(`select topic, payload ->> 'merge_id' as merge_id from outbox where payload ->> 'merge_id' is not null`),
    all(`select id, subject_id, other_subject_id from link_cases where status = 'open' order by id`),
  ]);
  const byId = <Row extends { id: string }>(rows: Row[]) => new Map(rows.map((row) => [row.id, row]));
  const of = (...actions: string[]) => audit.filter(({ action }: { action: string }) => actions.includes(action));
  return {
    subjects: byId(subjects),
    identities: byId(identities),
    merges: byId(merges),
    aliases,
    current: Map.groupBy(current as Resolved[], ({ requested_id }) => requested_id),
    homes: new Map(of('identity.linked').map((entry: Audited) => [entry.identity_id, entry.subject_id])),
    removed: new Set(of('identity.unlinked', 'identity.disowned').map((entry: Audited) => entry.identity_id)),
    audited: tally(
      of('subject.merged', 'subject.merge_undone'),
      (entry: Audited) => `${entry.action} ${entry.merge_id} ${entry.subject_id}`,
    ),
    published: tally(outbox, (message: { topic: string; merge_id: string }) => `${message.topic} ${message.merge_id}`),
    cases,
  };
}

/** One graph a channel: histories that share a database and nothing else. */
export function byChannel(graph: Graph): Map<string, Graph> {
  const parts = new Map<string, Graph>();
  const of = (sub: string): Graph => {
    const channel = graph.subjects.get(sub)?.channel ?? '';
    const part = parts.get(channel) ?? { ...graph, ...emptyPart() };
    parts.set(channel, part);
    return part;
  };
  for (const [id, subject] of graph.subjects) of(id).subjects.set(id, subject);
  for (const [id, resolved] of graph.current) of(id).current.set(id, resolved);
  for (const [id, identity] of graph.identities) of(identity.subject_id).identities.set(id, identity);
  for (const [id, merge] of graph.merges) of(merge.survivor_id).merges.set(id, merge);
  for (const [id, home] of graph.homes) of(home).homes.set(id, home);
  for (const alias of graph.aliases) of(alias.absorbed_id).aliases.push(alias);
  for (const asked of graph.cases) of(asked.subject_id).cases.push(asked);
  return parts;
}

function emptyPart() {
  return {
    subjects: new Map(),
    current: new Map(),
    identities: new Map(),
    merges: new Map(),
    homes: new Map(),
    aliases: [],
    cases: [],
  };
}

type Audited = { action: string; subject_id: string; identity_id: string; merge_id: string };

function tally<Row>(rows: Row[], name: (row: Row) => string): Map<string, number> {
  return new Map([...Map.groupBy(rows, name)].map(([key, same]) => [key, same.length]));
}

/** Where the standing merges lead from each sub. A cycle leads nowhere. */
export function rootsOf(graph: Graph): Map<string, string> {
  const up = new Map(
    [...graph.merges.values()]
      .filter((merge) => !merge.is_undone)
      .map((merge) => [merge.absorbed_id, merge.survivor_id]),
  );
  const roots = new Map<string, string>();
  for (const sub of graph.subjects.keys()) {
    let [root, steps] = [sub, 0];
    for (let next = up.get(root); next && steps <= up.size; next = up.get(root), steps++) root = next;
    roots.set(sub, steps > up.size ? `a cycle from ${sub}` : root);
  }
  return roots;
}

/** The subs that lead to this one by standing merges, itself among them. */
export function membersBelow(graph: Graph, sub: string): Set<string> {
  const below = new Set([sub]);
  const standing = [...graph.merges.values()].filter((merge) => !merge.is_undone);
  for (let grown = 0; grown < below.size; ) {
    grown = below.size;
    for (const merge of standing) if (below.has(merge.survivor_id)) below.add(merge.absorbed_id);
  }
  return below;
}

export type Fault = { sub: string; says: string };

/** @param originals the nickname each subject was made with */
export function faultsIn(graph: Graph, originals: Map<string, string>): Fault[] {
  const roots = rootsOf(graph);
  return [
    ...aliasFaults(graph, roots),
    ...identityFaults(graph, roots),
    ...precedenceFaults(graph),
    ...mergeFaults(graph),
    ...nicknameFaults(graph, originals),
  ];
}

function aliasFaults(graph: Graph, roots: Map<string, string>): Fault[] {
  const faults: Fault[] = [];
  const aliases = new Map(graph.aliases.map(({ absorbed_id, survivor_id }) => [absorbed_id, survivor_id]));
  for (const [sub, { status }] of graph.subjects) {
    const root = roots.get(sub) ?? '';
    const isAbsorbed = root !== sub;
    if ((status === 'absorbed') !== isAbsorbed) faults.push({ sub, says: `has status ${status} and root ${root}` });
    if (aliases.get(sub) !== (isAbsorbed ? root : undefined))
      faults.push({ sub, says: `has root ${root} and an alias to ${aliases.get(sub)}` });
    const resolved = graph.current.get(sub) ?? [];
    const standing = graph.subjects.get(root)?.status;
    if (resolved.length !== 1 || resolved[0]?.subject_id !== root || resolved[0]?.status !== standing)
      faults.push({ sub, says: `resolves to ${JSON.stringify(resolved)} and has root ${root} (${standing})` });
    if (standing !== 'active' && standing !== 'suspended')
      faults.push({ sub, says: `leads to a subject that is ${standing}` });
  }
  return faults;
}

function identityFaults(graph: Graph, roots: Map<string, string>): Fault[] {
  const faults: Fault[] = [];
  for (const [id, home] of graph.homes) {
    const identity = graph.identities.get(id);
    const isRemoved = graph.removed.has(id);
    if (isRemoved === (identity !== undefined))
      faults.push({ sub: home, says: `identity ${id} is ${isRemoved ? 'still there' : 'lost'}` });
    if (identity && identity.subject_id !== roots.get(home))
      faults.push({
        sub: home,
        says: `identity ${id} (${identity.kind}) sits on ${identity.subject_id}, not on ${roots.get(home)}`,
      });
  }
  for (const { id, subject_id } of graph.identities.values())
    if (!graph.homes.has(id)) faults.push({ sub: subject_id, says: `identity ${id} was never recorded as linked` });
  return faults;
}

/** One is current wherever one is held; two only of openids, which come with one unionid when a mini-program was migrated. */
function precedenceFaults(graph: Graph): Fault[] {
  const held = Map.groupBy(
    graph.identities.values(),
    ({ subject_id, kind, issuer }) => `${subject_id} ${kind} ${issuer}`,
  );
  return [...held].flatMap(([name, identities]) => {
    const current = identities.filter(({ is_superseded }) => !is_superseded).length;
    const isRight = current === 1 || (current > 1 && name.includes('wechat_openid'));
    return isRight ? [] : [{ sub: name.slice(0, 36), says: `has ${current} current of ${identities.length}: ${name}` }];
  });
}

function mergeFaults(graph: Graph): Fault[] {
  const faults: Fault[] = [];
  for (const { id, survivor_id, absorbed_id, is_undone } of graph.merges.values()) {
    const told = (what: string) => graph.published.get(`${what} ${id}`) ?? 0;
    const audited = (what: string, sub: string) => graph.audited.get(`${what} ${id} ${sub}`) ?? 0;
    const merged = [
      told('subject.merged'),
      audited('subject.merged', survivor_id),
      audited('subject.merged', absorbed_id),
    ];
    const undone = [told('subject.merge_undone'), audited('subject.merge_undone', absorbed_id)];
    const wanted = is_undone ? 1 : 0;
    if (merged.some((n) => n !== 1) || undone.some((n) => n !== wanted))
      faults.push({ sub: survivor_id, says: `merge ${id} was told ${merged} times, and its undo ${undone} times` });
  }
  return faults;
}

/** A name is a person's own or came from somebody they absorbed. */
function nicknameFaults(graph: Graph, originals: Map<string, string>): Fault[] {
  const owners = new Map([...originals].map(([sub, nickname]) => [nickname, sub]));
  return [...graph.subjects.values()].flatMap(({ id, nickname }) => {
    const owner = nickname === null ? id : owners.get(nickname);
    const isTheirs = owner !== undefined && membersBelow(graph, id).has(owner);
    return isTheirs ? [] : [{ sub: id, says: `is called ${nickname}, the name of ${owner}` }];
  });
}
