/**
 * Settings of a connector as an operator meets them: what may be set, what is wrong with what was sent, what may be shown again. All
 * of it is read from the connector's own schema, so that a new connector has nothing to repeat and nothing to forget.
 */
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { FieldErrors } from '../errors.ts';
import type { Connector } from './contract.ts';

type JsonSchema = z.core.JSONSchema.BaseSchema;

/** JSON Schema of what may be sent. A secret says `writeOnly`. */
export function settingsSchema(connector: Connector): JsonSchema {
  const { $schema: _, ...schema } = z.toJSONSchema(connector.settings, { io: 'input' });
  return schema;
}

export type Setting = {
  name: string;
  types: string[];
  is_required: boolean;
  /** Itself, or something in it. */
  is_secret: boolean;
  description: string;
};

export function declaredSettings(connector: Connector): Setting[] {
  const found = new Map<string, Setting>();
  for (const schema of branchesOf(settingsSchema(connector))) {
    for (const [name, property] of Object.entries(schema.properties ?? {})) {
      const { type = [] } = typeof property === 'object' ? property : {};
      const former = found.get(name);
      const is_secret = JSON.stringify(property).includes('"writeOnly":true') || former?.is_secret === true;
      const is_required = schema.required?.includes(name) === true;
      found.set(name, { name, types: [type].flat(), is_required, is_secret, description: describe(former, property) });
    }
  }
  return [...found.values()];
}

/** What may stand there, where nothing is said: the name of a provider, say. */
function describe(former: Setting | undefined, property: JsonSchema | boolean): string {
  const { description, const: only = '' } = typeof property === 'object' ? property : {};
  const said = description ?? String(only);
  return former && former.description !== said ? `${former.description}, ${said}` : said;
}

function branchesOf(schema: JsonSchema): JsonSchema[] {
  const parts = [...(schema.allOf ?? []), ...(schema.oneOf ?? []), ...(schema.anyOf ?? [])];
  return [schema, ...parts.flatMap(branchesOf)];
}

/** What may be shown: what the schema knows and does not call secret, and of a setting that is made of settings the same. */
export function shownSettings(connector: Connector, settings: object): Record<string, unknown> {
  return withoutSecrets(branchesOf(settingsSchema(connector)), settings);
}

function withoutSecrets(branches: JsonSchema[], settings: object): Record<string, unknown> {
  const shown = Object.entries(settings).flatMap(([name, value]) => {
    const known = branches.flatMap(({ properties }) => {
      const property = properties?.[name];
      return typeof property === 'object' ? [property] : [];
    });
    if (!known.length || known.some(({ writeOnly }) => writeOnly)) return [];
    if (!JSON.stringify(known).includes('"writeOnly":true')) return [[name, value]];
    const isGroup = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isGroup ? [[name, withoutSecrets(known.flatMap(branchesOf), value)]] : [];
  });
  return Object.fromEntries(shown);
}

export function changedSettings(before: Record<string, unknown>, after: Record<string, unknown>): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names].filter((name) => !isDeepStrictEqual(before[name], after[name])).sort();
}

const mostFaults = 50;

/** Checked settings with their defaults, or every fault by field, never with a value. */
export function checkSettings(
  connector: Connector,
  settings: unknown,
  { allowUnknown = false } = {},
): { settings: Record<string, unknown> } | { faults: FieldErrors } {
  const parsed = connector.settings.safeParse(settings);
  const faults = {
    ...(allowUnknown ? {} : unknownNames(connector, settings)),
    ...(parsed.error && faultsOf(parsed.error.issues)),
  };
  if (parsed.success && !Object.keys(faults).length) return { settings: parsed.data };
  return { faults: Object.fromEntries(Object.entries(faults).slice(0, mostFaults)) };
}

/** A misspelt setting that is silently dropped would look as if it had worked (threat D20). */
function unknownNames(connector: Connector, settings: unknown): FieldErrors {
  if (typeof settings !== 'object' || settings === null || Array.isArray(settings)) return {};
  const known = new Set(declaredSettings(connector).map(({ name }) => name));
  const unknown = Object.keys(settings).filter((name) => !known.has(name));
  return Object.fromEntries(
    unknown.map((name) => [`settings.${name.slice(0, 100)}`, 'There is no setting of this name.']),
  );
}

function faultsOf(issues: { path: PropertyKey[]; message: string }[]): FieldErrors {
  return Object.fromEntries(issues.map(({ path, message }) => [['settings', ...path.map(String)].join('.'), message]));
}
