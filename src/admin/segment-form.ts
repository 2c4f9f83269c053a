/**
 * The builder's form: a draft read from what was posted, what its buttons do to it, and the draft as fields with their faults. A node's
 * fields are named by where it stands: `n` is the whole, `n.0` its first part, `n.0:event` a field of that.
 */
import type { Fault } from '../behaviour/faults.ts';
import { aggregates } from '../behaviour/language.ts';
import type { Fields } from './console.ts';
import { type Control, controls, foldable, units } from './segment-controls.ts';
import { type Draft, type DraftKind, emptyDraft, nodeKinds, partKinds } from './segment-draft.ts';

const kinds: readonly string[] = [...nodeKinds, ...partKinds];
/** Deeper than any definition may be, so that the parser is who says so; and no deeper, whatever is posted (threat E4). */
const deepest = 16;
const mostParts = 100;

/** What was posted; a node without a kind is none. */
export function readDraft(form: Fields, id = 'n', level = 0): Draft | undefined {
  const kind = form[`${id}:kind`];
  if (kind === undefined || !kinds.includes(kind) || level > deepest) return undefined;
  const values: Draft['values'] = {};
  for (const { name } of controls(kind as DraftKind, undefined)) {
    const text = form[`${id}:${name}`];
    if (text !== undefined) values[name] = withUnit(text, form[`${id}:${name}:unit`]);
  }
  const parts: Draft[] = [];
  for (let at = 0; at < mostParts; at++) {
    const part = readDraft(form, `${id}.${at}`, level + 1);
    if (!part) break;
    parts.push(part);
  }
  return { kind: kind as DraftKind, values, parts };
}

/** Of a length of time the unit is chosen beside the number; who writes `30d` has said it. */
function withUnit(text: string, unit: string | undefined): string {
  return unit !== undefined && units.includes(unit) && /^\s*\d+\s*$/.test(text) ? `${text.trim()}${unit}` : text;
}

/** `add n.0`, `remove n.0.1`, `up n.1`, `wrap n`: what a button asks for. @param form has, beside `add`, what is to be added */
export function changed(root: Draft, act: string, form: Fields): Draft {
  const [, verb, id = 'n'] = /^(add|remove|up|wrap) (n(?:\.\d{1,3})*)$/.exec(act) ?? [];
  if (!verb) return root;
  if (verb === 'wrap') return { kind: 'all', values: {}, parts: [root] };
  const way = id.split('.').slice(1).map(Number);
  if (verb === 'add') {
    const kind = kinds.find((known) => known === form[`${id}:add`]) as DraftKind | undefined;
    return kind ? at(root, way, (node) => ({ ...node, parts: [...node.parts, emptyDraft(kind)] })) : root;
  }
  const last = way.pop();
  if (last === undefined) return root;
  return at(root, way, (node) => {
    const parts = [...node.parts];
    const [moved] = parts.splice(last, 1);
    if (verb === 'up' && moved) parts.splice(Math.max(0, last - 1), 0, moved);
    return { ...node, parts };
  });
}

function at(node: Draft, [next, ...way]: number[], change: (node: Draft) => Draft): Draft {
  if (next === undefined) return change(node);
  return { ...node, parts: node.parts.map((part, index) => (index === next ? at(part, way, change) : part)) };
}

export type ShownControl = Control & {
  id: string;
  value: string;
  /** Of a length of time; its number is the value. */
  unit?: string;
  fault?: Fault;
};
export type ShownNode = {
  id: string;
  kind: DraftKind;
  controls: ShownControl[];
  folded: ShownControl[];
  isFoldOpen: boolean;
  /** Of the node itself, or of what no field of it shows. */
  faults: Fault[];
  parts: ShownNode[];
  /** What can be put into it. */
  addable: readonly DraftKind[];
};

const addableOf: Partial<Record<DraftKind, readonly DraftKind[]>> = {
  all: nodeKinds,
  any: nodeKinds,
  not: nodeKinds,
  per: ['event', 'not', 'sequence'],
  event: ['where', 'item'],
  step: ['where', 'item'],
  no: ['where', 'item'],
  sequence: ['step', 'no'],
};

/** The draft for the page: fields to show, each fault at the deepest node that it is about. */
export function shownNode(draft: Draft, faults: Fault[], id = 'n', path = 'where'): ShownNode {
  const { kind, values } = draft;
  const within = faults.filter((fault) => isAt(fault.path, path));
  const ways = waysOf(draft, path);
  const parts = draft.parts.map((part, index) => shownNode(part, within, `${id}.${index}`, ways[index] ?? path));
  const own = within.filter((fault) => !ways.some((way) => isAt(fault.path, way)));
  const ofField = (name: string) => own.find((fault) => fieldOf(fault, path) === name);
  const shown = controls(kind, values).map((control) =>
    shownControl(control, { id, values, fault: ofField(control.name) }),
  );
  const folded = shown.filter(({ name }) => foldable.has(name));
  const isFull = kind === 'not' && draft.parts.length > 0;
  return {
    id,
    kind,
    controls: shown.filter(({ name }) => !foldable.has(name)),
    folded,
    isFoldOpen: folded.some(({ value, fault }) => value !== '' || fault),
    faults: own.filter((fault) => !shown.some((control) => control.fault === fault)),
    parts,
    addable: isFull ? [] : (addableOf[kind] ?? []),
  };
}

function shownControl(
  control: Control,
  { id, values, fault }: { id: string; values: Draft['values']; fault: Fault | undefined },
): ShownControl {
  const value = values[control.name] ?? '';
  const [, number = value, unit = 'd'] = (control.type === 'length' && /^(\d+)([mhdw])$/.exec(value)) || [];
  return {
    ...control,
    id: `${id}:${control.name}`,
    value: number,
    ...(control.type === 'length' && { unit }),
    ...(fault && { fault }),
  };
}

/** Which field of the form says what stands there in the definition. */
function fieldOf(fault: Fault, path: string): string {
  const [first = '', second = ''] = fault.path
    .slice(path.length)
    .split(/[.[\]]+/)
    .filter(Boolean);
  if (first === 'between') return second === '1' ? 'to' : 'from';
  if (first === 'calendar') return second || 'unit';
  if (first === 'unless') return second ? `unless_${second}` : 'unless_event';
  if (aggregates.some((name) => name === first)) return second === 'of' ? 'of' : 'value';
  return first === 'no' || first === 'sample' ? second : first;
}

/** What is wrong with the fields and nodes shown, each with where it is on the page. */
export function faultsOf(node: ShownNode): { id: string; fault: Fault }[] {
  return [
    ...node.faults.map((fault) => ({ id: node.id, fault })),
    ...[...node.controls, ...node.folded].flatMap(({ id, fault }) => (fault ? [{ id, fault }] : [])),
    ...node.parts.flatMap(faultsOf),
  ];
}

const isAt = (fault: string, path: string) =>
  fault === path || fault.startsWith(`${path}.`) || fault.startsWith(`${path}[`);

/** Where in the definition each part stands. */
function waysOf({ kind, parts }: Draft, path: string): string[] {
  const seen = new Map<string, number>();
  return parts.map((part, index) => {
    const nth = seen.get(part.kind) ?? 0;
    seen.set(part.kind, nth + 1);
    if (kind === 'not') return `${path}.not`;
    if (kind === 'per') return `${path}.all[${index}]`;
    if (kind === 'sequence') return `${path}.sequence[${index}]`;
    if (part.kind === 'where' || part.kind === 'item')
      return `${kind === 'no' ? `${path}.no` : path}.${part.kind}[${nth}]`;
    return `${path}.${kind}[${index}]`;
  });
}
