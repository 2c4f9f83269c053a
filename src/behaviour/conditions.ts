/** Conditions on one event. Nothing here depends on time. */
import { compareWith } from './decimal.ts';
import type { BehaviourEvent, Condition, ConditionOp, Path, Scalar } from './language.ts';
import { each, listOf, pathOf, valuesWithin } from './path.ts';

export type EventTest = (event: BehaviourEvent) => boolean;
export type ValueTest = (value: unknown) => boolean;
type Reader<T> = (from: T) => unknown[];

const nothing: unknown[] = [];

/** Reads a path of events. */
export function readerOf(path: Path): Reader<BehaviourEvent> {
  const { root, steps } = pathOf(path);
  const [name] = steps;
  // Most paths are one name; this is the innermost loop of all.
  if (steps.length !== 1 || name === undefined || name === each) return (event) => valuesWithin(event[root], steps);
  return (event) => {
    const fields = event[root];
    const value = Object.hasOwn(fields, name) ? fields[name] : null;
    return value === null || value === undefined ? nothing : [value];
  };
}

export function compileConditions(conditions: Condition[]): EventTest {
  return every(conditions, readerOf);
}

/** One element of the list, of which all paths of the conditions begin, meets them all. */
export function compileItem(conditions: Condition[]): EventTest {
  const list = listOf(pathOf(firstPath(conditions)))?.list;
  if (!list) throw new Error('an item without a list');
  const meets = every<unknown>(conditions, (path) => {
    const { rest } = listOf(pathOf(path)) ?? { rest: [] };
    return (element) => valuesWithin(element, rest);
  });
  // Not by the path with `[]`, which passes over an element that is null: it is one too, without values.
  return (event) =>
    valuesWithin(event[list.root], list.steps).some((elements) => Array.isArray(elements) && elements.some(meets));
}

export function pathsOf(conditions: Condition[]): Path[] {
  return conditions.flatMap((condition) => ('any' in condition ? pathsOf(condition.any) : [condition.property]));
}

function firstPath(conditions: Condition[]): Path {
  return pathsOf(conditions)[0] ?? '';
}

function every<T>(conditions: Condition[], reader: (path: Path) => Reader<T>): (from: T) => boolean {
  const tests = conditions.map((condition) => compile(condition, reader));
  const [only] = tests;
  return only && tests.length === 1 ? only : (from) => tests.every((test) => test(from));
}

function compile<T>(condition: Condition, reader: (path: Path) => Reader<T>): (from: T) => boolean {
  if ('any' in condition) {
    const tests = condition.any.map((part) => compile(part, reader));
    return (from) => tests.some((test) => test(from));
  }
  const read = reader(condition.property);
  const { op, value } = condition;
  if (op === 'exists') return (from) => read(from).length > 0 === value;
  const test = valueTest(op, value);
  return (from) => read(from).some(test);
}

/** What an operator says of one value that is there. */
export function valueTest(op: Exclude<ConditionOp, 'exists'>, value: Scalar | Scalar[]): ValueTest {
  const wanted = Array.isArray(value) ? value : [value];
  const equal = anyEqual(wanted);
  const [first] = wanted;
  switch (op) {
    case 'eq':
    case 'in':
      return equal;
    case 'ne':
    case 'nin':
      return (found) => !equal(found);
    case 'gt':
    case 'gte':
    case 'lt':
    case 'lte': {
      const meets = orders[op];
      return (found) => {
        const order = compareWith(found, Number(first));
        return order !== null && meets(order);
      };
    }
    case 'contains':
      return (found) =>
        Array.isArray(found)
          ? found.some(equal)
          : typeof found === 'string' && typeof first === 'string' && found.includes(first);
    case 'starts_with':
      return (found) => typeof found === 'string' && found.startsWith(String(first));
  }
}

export const orders = {
  gt: (order: number) => order > 0,
  gte: (order: number) => order >= 0,
  lt: (order: number) => order < 0,
  lte: (order: number) => order <= 0,
  eq: (order: number) => order === 0,
};

/** Strings and booleans by a set, so that a list of a hundred costs what one does; numbers one by one for their decimals. */
function anyEqual(wanted: Scalar[]): ValueTest {
  const numbers = wanted.filter((value) => typeof value === 'number');
  const others = new Set<unknown>(wanted.filter((value) => typeof value !== 'number'));
  return (found) => others.has(found) || numbers.some((number) => compareWith(found, number) === 0);
}
