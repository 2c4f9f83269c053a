/**
 * What a property may hold, by the type that the catalogue gives it, and how what means the same becomes the same: a product id is text
 * whether one system sends 7 and another "7", and a price is a number though a tracker can only send text. Nothing is converted that
 * could be meant otherwise.
 */
import { isRecord } from './storable.ts';

export const propertyTypes = ['string', 'number', 'money', 'boolean', 'time', 'list', 'object'] as const;
export type PropertyType = (typeof propertyTypes)[number];
export type Property = { type: PropertyType; required?: boolean };

/** By name; `products[].sku` is the field `sku` of each object in the list `products`. */
export type Properties = Record<string, Property>;

export const propertyName = /^[\p{L}_$][\p{L}\p{N}_$-]{0,99}(?:\[\]\.[\p{L}_$][\p{L}\p{N}_$-]{0,99})?$/u;

export type Fault = { code: 'property_type' | 'property_missing'; path: string; message: string };

type Check = Property & { name: string; field: string | undefined };
export type Checks = readonly Check[];

export function checksOf(properties: Properties): Checks {
  return Object.entries(properties).map(([path, property]) => {
    const [name = '', field] = path.split('[].');
    return { ...property, name, field };
  });
}

/** What was sent with its values converted, and the first thing that breaks its type. Null is as good as missing. */
export function conform(
  given: Record<string, unknown>,
  checks: Checks,
): { properties: Record<string, unknown>; fault: Fault | undefined } {
  let properties = given;
  let fault: Fault | undefined;
  for (const { name, field, ...property } of checks) {
    const value = Object.hasOwn(properties, name) ? properties[name] : undefined;
    const path = field === undefined ? name : `${name}[].${field}`;
    const found =
      field === undefined ? conformValue(value, property, path) : conformItems(value, field, property, path);
    fault ??= found.fault;
    if (found.value !== value) properties = { ...properties, [name]: found.value };
  }
  return { properties, fault };
}

type Found = { value: unknown; fault?: Fault | undefined };

function conformValue(value: unknown, { type, required }: Property, path: string): Found {
  if (value === undefined || value === null) {
    const message = `The property "${path}" is needed.`;
    return required ? { value, fault: { code: 'property_missing', path, message } } : { value };
  }
  const converted = convert(value, type);
  if (converted !== undefined) return { value: converted };
  const message = `The property "${path}" must be ${kinds[type]}, and is ${kindOf(value)}.`;
  return { value, fault: { code: 'property_type', path, message } };
}

/** What is no object in the list has no such field; that the list is one is said by its own type. */
function conformItems(list: unknown, field: string, property: Property, path: string): Found {
  if (!Array.isArray(list)) return { value: list };
  let fault: Fault | undefined;
  let changed = false;
  const items = list.map((item: unknown) => {
    if (!isRecord(item)) return item;
    const value = Object.hasOwn(item, field) ? item[field] : undefined;
    const found = conformValue(value, property, path);
    fault ??= found.fault;
    if (found.value === value) return item;
    changed = true;
    return { ...item, [field]: found.value };
  });
  return { value: changed ? items : list, fault };
}

const plainDecimal = /^-?\d{1,20}(?:\.\d{1,10})?$/;
const day = /^\d{4}-\d\d-\d\d$/;
const moment = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)$/i;
/** Milliseconds of 2000 to 2100: seconds, and numbers that are no times, are far from it. */
const times = { from: Date.UTC(2000), to: Date.UTC(2100) };

/** Undefined: it is of another type, and cannot be taken for this one. */
function convert(value: unknown, type: PropertyType): unknown {
  switch (type) {
    case 'string':
      return typeof value === 'string' ? value : exactText(value);
    case 'number':
    case 'money':
      return typeof value === 'number' && Number.isFinite(value) ? value : decimalOf(value);
    case 'boolean':
      return typeof value === 'boolean' ? value : value === 'true' ? true : value === 'false' ? false : undefined;
    case 'time':
      return timeOf(value);
    case 'list':
      return Array.isArray(value) ? value : undefined;
    case 'object':
      return isRecord(value) ? value : undefined;
  }
}

/** An id of more than 15 digits has lost some of them by now: it is not the id that was meant. */
function exactText(value: unknown): string | undefined {
  return typeof value === 'number' && Math.abs(value) < 1e15 && plainDecimal.test(String(value))
    ? String(value)
    : undefined;
}

/** A plain decimal of more digits than a number holds stays text; whoever counts reads it as a number all the same. */
function decimalOf(value: unknown): number | string | undefined {
  if (typeof value !== 'string') return undefined;
  const text = value.trim();
  if (!plainDecimal.test(text)) return undefined;
  return text.replace(/\D/g, '').length <= 15 ? Number(text) : text;
}

/** A day stays a day: which moment it begins at is for the time zone of whoever asks. A moment without its zone is none. */
function timeOf(value: unknown): string | undefined {
  if (typeof value === 'number')
    return value >= times.from && value < times.to ? new Date(Math.round(value)).toISOString() : undefined;
  if (typeof value !== 'string') return undefined;
  const text = value.trim();
  if (day.test(text)) return isDay(text) ? text : undefined;
  if (!moment.test(text) || !isDay(text.slice(0, 10))) return undefined;
  const at = new Date(text.toUpperCase().replace(' ', 'T'));
  return Number.isNaN(at.getTime()) ? undefined : at.toISOString();
}

/** 30 February is parsed as 1 March. */
function isDay(text: string): boolean {
  const at = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(at.getTime()) && at.toISOString().startsWith(text);
}

const kinds: Record<PropertyType, string> = {
  string: 'text',
  number: 'a number',
  money: 'a number',
  boolean: 'true or false',
  time: 'a date, or a time with its zone',
  list: 'a list',
  object: 'an object',
};

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  switch (typeof value) {
    case 'string':
      return 'text';
    case 'number':
      return Number.isFinite(value) ? 'a number' : 'a number that no number can hold';
    case 'boolean':
      return 'true or false';
    default:
      return 'an object';
  }
}
