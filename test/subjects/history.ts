/** Who a history is about and what happens in it next, drawn from a seed. */
import type { Identity, Proof } from '../../src/connectors/contract.ts';
import type { Graph } from './graph.ts';
import type { Step } from './history-step.ts';

export type Random = {
  /** 0 to below n */
  below(n: number): number;
  chance(share: number): boolean;
  one<T>(of: readonly T[]): T | undefined;
};

/** mulberry32: small, and the same everywhere. */
export function randomOf(seed: number): Random {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (n: number) => Math.floor(next() * n);
  return { below, chance: (share) => next() < share, one: (of) => of[below(of.length)] };
}

/** Also the channel its sign-ins come through: so a subject says which history it is of. */
export type History = {
  name: string;
  seed: number;
  random: Random;
  people: Person[];
  left: number;
  events: { id: string; sub: string }[];
  originals: Map<string, string>;
  said: string[];
};

/** Two apps of one open-platform account, one of another, one of none, a phone and an e-mail: eight identities. */
type Person = Record<'web' | 'mini' | 'other' | 'unbound' | 'union' | 'otherUnion' | 'phone' | 'email', Identity>;

export function newHistory(seed: number, people: number, left: number): History {
  const name = `history ${seed}`;
  const person = (_: unknown, n: number): Person => {
    const id = `${seed}-${n}`;
    const number = `+86${String(13_000_000_000 + (seed % 1_000_000) * 10 + n)}`;
    return {
      web: { kind: 'wechat_openid', issuer: 'wxweb', external_id: `web-${id}` },
      mini: { kind: 'wechat_openid', issuer: 'wxmini', external_id: `mini-${id}` },
      union: { kind: 'wechat_unionid', issuer: 'main', external_id: `union-${id}` },
      other: { kind: 'wechat_openid', issuer: 'wxother', external_id: `other-${id}` },
      otherUnion: { kind: 'wechat_unionid', issuer: 'second', external_id: `union-${id}` },
      unbound: { kind: 'wechat_openid', issuer: 'wxunbound', external_id: `unbound-${id}` },
      phone: { kind: 'phone', issuer: '', external_id: number },
      email: { kind: 'email', issuer: '', external_id: `p${id}@example.com` },
    };
  };
  const random = randomOf(seed);
  return {
    name,
    seed,
    random,
    people: Array.from({ length: people }, person),
    left,
    events: [],
    originals: new Map(),
    said: [],
  };
}

export type Turn =
  | { kind: 'one' | 'at once'; steps: Step[] }
  | { kind: 'there and back'; survivor: string; absorbed: string; keep: string[] };

/** What happens next: mostly one thing, sometimes two to four at the same moment, sometimes a merge that is taken back at once. */
export function nextTurn(history: History, graph: Graph): Turn {
  const { random } = history;
  const subs = [...graph.subjects.keys()];
  const standing = subs.filter((sub) => graph.subjects.get(sub)?.status === 'active');
  if (standing.length > 1 && history.left > 1 && random.chance(0.12)) {
    const [survivor = '', absorbed = ''] = pair(random, standing);
    if (survivor !== absorbed) {
      history.left -= 2;
      return { kind: 'there and back', survivor, absorbed, keep: choice(history, graph, [survivor, absorbed]) };
    }
  }
  const together = random.chance(0.25) ? Math.min(history.left, 2 + random.below(3)) : 1;
  history.left -= together;
  const steps = Array.from({ length: together }, () => nextStep(history, graph, subs, standing));
  return { kind: together > 1 ? 'at once' : 'one', steps };
}

function nextStep(history: History, graph: Graph, subs: string[], standing: string[]): Step {
  const { random, name: channel } = history;
  const one = subs.length ? draw(history, graph, subs, standing, random.below(100)) : undefined;
  return one ?? { does: 'sign in', channel, proofs: proofs(history), ...device(random) };
}

/** Undefined: a sign-in. */
function draw(history: History, graph: Graph, subs: string[], standing: string[], at: number): Step | undefined {
  const { random, name: channel } = history;
  const sub = random.one(random.chance(0.8) && standing.length ? standing : subs) ?? '';
  if (at < 34) return undefined;
  if (at < 44)
    return { does: 'link', sub, proof: random.one(proofs(history)) ?? wechat(history, 0), replace: random.chance(0.4) };
  if (at < 52) {
    const held = [...graph.identities.values()].filter(({ subject_id }) => subject_id === sub);
    return { does: 'unlink', sub, identity_id: random.one(held)?.id ?? crypto.randomUUID() };
  }
  if (at < 66) {
    const [survivor = '', absorbed = ''] = pair(random, random.chance(0.75) && standing.length > 1 ? standing : subs);
    return { does: 'merge', survivor, absorbed, keep: choice(history, graph, [survivor, absorbed]) };
  }
  if (at < 78) {
    const merge = random.one([...graph.merges.values()]);
    return merge && { does: 'undo', merge_id: merge.id };
  }
  if (at < 84) {
    const asked = random.one(graph.cases);
    return asked && { does: 'decide', case_id: asked.id, decision: random.chance(0.6) ? 'merge' : 'dismiss' };
  }
  if (at < 88) {
    const phone = random.one(history.people)?.phone;
    return phone && { does: 'quiet number', channel, phone, disown: random.chance(0.6), ...device(random) };
  }
  if (at < 95) {
    const message_id = crypto.randomUUID();
    history.events.push({ id: message_id, sub });
    return { does: 'event', sub, message_id };
  }
  if (at < 97)
    return {
      does: 'consent',
      sub,
      purpose: random.chance(0.5) ? 'profiling' : 'marketing',
      is_granted: random.chance(0.7),
    };
  return { does: at < 98 ? 'suspend' : 'reinstate', sub };
}

function pair(random: Random, subs: string[]): string[] {
  return [random.one(subs) ?? '', random.one(subs) ?? ''];
}

function choice({ random }: History, graph: Graph, sides: string[]): string[] {
  const held = [...graph.identities.values()].filter(({ subject_id }) => sides.includes(subject_id));
  return random.chance(0.5) ? [] : held.filter(() => random.chance(0.5)).map(({ id }) => id);
}

function device(random: Random): { device?: string } {
  return random.chance(0.5) ? { device: `device ${random.below(4)}` } : {};
}

/** One proof, or WeChat with a phone; now and then the phone is somebody else's. */
function proofs(history: History): [Proof, ...Proof[]] {
  const { random, people } = history;
  const who = random.below(people.length);
  const person = people[who] as Person;
  const phone = {
    connector: 'sms',
    identities: [(random.chance(0.8) ? person : (people[random.below(people.length)] as Person)).phone],
  };
  const drawn = random.below(10);
  if (drawn < 5) return [wechat(history, who)];
  if (drawn < 8) return [wechat(history, who), phone];
  if (drawn < 9) return [{ connector: 'sms', identities: [person.phone] }];
  return [{ connector: 'email', identities: [person.email] }];
}

/** As the doors prove it: the openid, with the unionid where WeChat gives one. */
function wechat({ random, people, originals }: History, who: number): Proof {
  const person = people[who] as Person;
  const ways: Identity[][] = [
    [person.web],
    [person.web, person.union],
    [person.mini],
    [person.union, person.mini],
    [person.other, person.otherUnion],
    [person.other],
    [person.unbound],
  ];
  const profile = random.chance(0.5)
    ? { nickname: `${people[0]?.web.external_id} ${originals.size} ${random.below(1_000_000)}` }
    : undefined;
  return { connector: 'wechat', identities: random.one(ways) ?? [person.web], ...(profile && { profile }) };
}
