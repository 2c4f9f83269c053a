/** What events mean: built in and the company's own, as the intake applies them; an owner says more. */
import { AppError } from '../errors.ts';
import {
  addDefinition,
  changeDefinition,
  type Definition,
  definitionsOf,
  type EventDefinition,
  readDefinitions,
  removeDefinition,
} from '../events/definitions.ts';
import { type Properties, propertyName, propertyTypes } from '../events/property-types.ts';
import { trusts } from '../events/trust.ts';
import { weeklyCounts } from '../events/weekly-counts.ts';
import type { Translate } from '../http/i18n.ts';
import type { AdminRequest, AdminRoute, Fields } from './console.ts';
import type { AdminDependencies } from './dependencies.ts';
import { titleIn } from './titles.ts';

async function catalogue(deps: AdminDependencies, { query, show, language }: AdminRequest): Promise<void> {
  const byName = definitionsOf(await readDefinitions(deps.db));
  const counts = await weeklyCounts(deps.db, [...byName.keys()]);
  show('admin/event-catalogue', {
    definitions: [...byName.values()]
      .map((definition) => ({
        ...definition,
        title: titleIn(definition.title, language) ?? definition.name,
        fields: Object.entries(definition.properties),
        n: counts?.get(definition.name) ?? 0,
      }))
      .sort((a, b) => b.n - a.n || (a.name < b.name ? -1 : 1)),
    /** Names that nobody defined, as they came. */
    others: [...(counts ?? [])].filter(([name]) => !byName.has(name)),
    is_counted: counts !== undefined,
    done: query.done === 'saved' || query.done === 'removed' ? query.done : undefined,
  });
}

const formOf = (known: Definition | undefined, name: string): Fields => ({
  name,
  title_zh: known?.title['zh-CN'] ?? '',
  title_en: known?.title.en ?? '',
  aliases: known?.aliases.join('\n') ?? '',
  properties: Object.entries(known?.properties ?? {})
    .map(([property, { type, required }]) => `${property}: ${type}${required ? '!' : ''}`)
    .join('\n'),
  least_trust: known?.least_trust ?? '',
  mode: known?.mode ?? 'document',
});

async function edit(deps: AdminDependencies, request: AdminRequest): Promise<void> {
  const name = request.query.name ?? '';
  const known = (await readDefinitions(deps.db)).find((definition) => definition.name === name);
  showForm(request, { values: formOf(known, name), isKnown: known !== undefined, faults: {} });
}

type Shown = { values: Fields; isKnown: boolean; faults: Fields };

const showForm = ({ show }: AdminRequest, { values, isKnown, faults }: Shown) =>
  show('admin/event-definition', { values, isKnown, faults, trusts, types: propertyTypes });

const linesOf = (text = '') =>
  text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter(Boolean);

/** @returns the definition, and a sentence for each field that is none */
function read(form: Fields, t: Translate): { definition: Definition; faults: Fields } {
  const faults: Fields = {};
  const name = (form.name ?? '').trim();
  if (!/^[a-z][a-z0-9_]{0,99}$/.test(name)) faults.name = t('admin.catalogue.bad_name');
  const properties: Properties = {};
  for (const line of linesOf(form.properties)) {
    const [, property = '', type = '', required] = /^(.+?)\s*[:：]\s*([a-z]+)(!?)$/.exec(line) ?? [];
    const known = propertyTypes.find((one) => one === type);
    if (known && propertyName.test(property))
      properties[property] = { type: known, ...(required && { required: true }) };
    else faults.properties ??= t('admin.catalogue.bad_property', { line: line.slice(0, 100) });
  }
  const aliases = [...new Set(linesOf(form.aliases))];
  if (aliases.length > 100 || aliases.some((alias) => alias.length > 200))
    faults.aliases = t('admin.catalogue.bad_alias');
  const titles = { 'zh-CN': (form.title_zh ?? '').trim(), en: (form.title_en ?? '').trim() };
  const title = Object.fromEntries(Object.entries(titles).filter(([, words]) => words && words.length <= 100));
  const definition: Definition = {
    name,
    title,
    properties,
    aliases,
    least_trust: trusts.find((trust) => trust === form.least_trust) ?? null,
    mode: form.mode === 'enforce' ? 'enforce' : 'document',
  };
  return { definition, faults };
}

async function save(deps: AdminDependencies, request: AdminRequest): Promise<void> {
  const { form, actor, go, ctx, t } = request;
  const { definition, faults } = read(form, t);
  const isKnown = (await readDefinitions(deps.db)).some(({ name }) => name === definition.name);
  const refuse = (found: Fields) => {
    ctx.status = 400;
    showForm(request, { values: { ...formOf(undefined, ''), ...form }, isKnown, faults: found });
  };
  if (form.do === 'remove' && isKnown) {
    await deps.db.transaction((trx) => removeDefinition(trx, definition.name, actor));
    return go('/admin/events/catalogue?done=removed');
  }
  if (Object.keys(faults).length) return refuse(faults);
  try {
    const change: (...of: Parameters<typeof addDefinition>) => Promise<EventDefinition> = isKnown
      ? changeDefinition
      : addDefinition;
    await deps.db.transaction((trx) => change(trx, definition, actor));
    go('/admin/events/catalogue?done=saved');
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'invalid_fields') throw error;
    const taken = Object.keys(error.fields ?? {}).map((field) => field.split('.')[0] ?? field);
    refuse(Object.fromEntries(taken.map((field) => [field, t('admin.catalogue.taken')])));
  }
}

const define = { path: '/admin/event-definition', needs: 'events:define' } as const;

export const catalogueRoutes: AdminRoute[] = [
  { method: 'get', path: '/admin/events/catalogue', needs: 'events:read', handle: catalogue },
  { ...define, method: 'get', handle: edit },
  { ...define, method: 'post', handle: save },
];
