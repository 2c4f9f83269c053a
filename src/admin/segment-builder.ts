/**
 * The builder: a definition made as a form, which works without a script, or as JSON; counted before it is kept. Every button posts the
 * whole form, so that the page is the only place where a definition in the making is.
 */
import { recordAudit } from '../audit/audit.ts';
import type { Fault } from '../behaviour/faults.ts';
import { measure } from '../behaviour/measure.ts';
import { AppError } from '../errors.ts';
import { isRecord } from '../events/storable.ts';
import { readWorkings } from '../profiles/computed.ts';
import { checkDefinition } from '../segments/check.ts';
import { segmentPurposes, sentenceOf } from '../segments/parse.ts';
import { previewSegment } from '../segments/preview.ts';
import { createList, createSegment, editSegment, segmentDetail, segmentNames } from '../segments/segment.ts';
import { templates } from '../segments/templates.ts';
import type { AdminRequest, AdminRoute, Fields } from './console.ts';
import type { AdminDependencies } from './dependencies.ts';
import { briefOf } from './person.ts';
import { units } from './segment-controls.ts';
import { type Draft, draftOf, emptyDraft, jsonOf } from './segment-draft.ts';
import { changed, faultsOf, readDraft, type ShownNode, shownNode } from './segment-form.ts';
import { segmentServices, wordsFor } from './segment-services.ts';
import { rangeInWords, sentenceIn } from './segment-words.ts';
import { propertyTitle, titleIn } from './titles.ts';

type Head = { key: string; name: string; purpose: string; tz: string };

/** A definition in the making. As JSON it is text, which may be none. */
type Work = { head: Head; kind: 'rule' | 'list' } & ({ as: 'form'; draft: Draft } | { as: 'json'; json: string });

/** What is wrong, by the path in the definition. */
type Found = { faults: Fault[]; sentences: Record<string, string> };
const nothing: Found = { faults: [], sentences: {} };

/** What companies usually say of people; templates ask for some of it. */
const usualTraits = ['birthday', 'city', 'gender', 'member_level', 'points_balance', 'points_expire_at', 'created_at'];

const headNames = ['key', 'name', 'purpose', 'tz'] as const;

function headOf(json: Record<string, unknown>): Head {
  const text = (name: string, usual = '') => (typeof json[name] === 'string' ? json[name] : usual);
  return {
    key: text('key'),
    name: text('name'),
    purpose: text('purpose', 'marketing'),
    tz: text('tz', 'Asia/Shanghai'),
  };
}

const started = (): Draft => ({ kind: 'all', values: {}, parts: [emptyDraft('event')] });

/** From what was posted. The key of a segment that exists stays. */
function workIn(form: Fields, key: string | undefined): Work {
  const head = { ...headOf(form), ...(key !== undefined && { key }) };
  const kind = form.kind === 'list' ? 'list' : 'rule';
  if (form.as === 'json') return { head, kind, as: 'json', json: form.json ?? '' };
  return { head, kind, as: 'form', draft: readDraft(form) ?? started() };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Undefined for text that is no JSON. */
function definitionOf(work: Work): unknown {
  if (work.as === 'json') return parsed(work.json);
  return { version: 1, ...work.head, where: jsonOf(work.draft) };
}

/** The other view of the same definition; as it is, where the other could not hold it. */
function turned(work: Work): Work {
  const definition = definitionOf(work);
  if (definition === undefined || measure(definition)) return work;
  if (work.as === 'form') return { ...work, as: 'json', json: JSON.stringify(definition, null, 2) };
  if (!isRecord(definition) || !isHead(definition)) return work;
  return { head: headOf(definition), kind: work.kind, as: 'form', draft: draftOf(definition.where) };
}

/** Whether the lines of a form can hold what stands beside `where`. */
function isHead(definition: Record<string, unknown>): boolean {
  const { version, where: _, ...rest } = definition;
  return (
    version === 1 &&
    Object.entries(rest).every(
      ([name, value]) =>
        headNames.some((known) => known === name) && typeof value === 'string' && !/[\r\n]/.test(value),
    )
  );
}

async function check(deps: AdminDependencies, request: AdminRequest, work: Work): Promise<Found> {
  const { t } = request;
  const definition = definitionOf(work);
  if (definition === undefined) return { faults: [], sentences: { '': t('admin.builder.no_json') } };
  const answer = await checkDefinition(deps.db, deps, definition);
  if ('segment' in answer) return nothing;
  return {
    faults: answer.faults,
    sentences: Object.fromEntries(answer.faults.map((fault) => [fault.path, sentenceOf(fault, t)])),
  };
}

type Counted = { count: number; people: unknown[] } | { sentence: string };

async function count(deps: AdminDependencies, request: AdminRequest, work: Work): Promise<Counted> {
  try {
    const { count: found, sample } = await previewSegment(segmentServices(deps, request), definitionOf(work));
    return { count: found, people: await Promise.all(sample.map(({ sub }) => briefOf(deps, sub))) };
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'segment_takes_too_long') throw error;
    return { sentence: request.t('errors.segment_takes_too_long') };
  }
}

type Shown = { found?: Found; counted?: Counted | undefined; key: string | undefined };

async function showBuilder(deps: AdminDependencies, request: AdminRequest, work: Work, shown: Shown): Promise<void> {
  const { found = nothing, counted, key } = shown;
  const names = await segmentNames(deps.db);
  const definitions = [...(await deps.readCatalogue()).definitions.values()];
  const { traits } = await readWorkings(deps.db);
  const root = work.as === 'form' && work.kind === 'rule' ? shownNode(work.draft, found.faults) : undefined;
  request.show('admin/segment-builder', {
    work,
    edited: key,
    purposes: segmentPurposes,
    root,
    units,
    sentences: found.sentences,
    sentenceOfFault: (fault: Fault) => sentenceOf(fault, request.t),
    lines: faultLines(work, found, root),
    counted,
    known: {
      events: definitions.map(({ name, title }) => ({ name, title: titleIn(title, request.language) ?? '' })),
      properties: [...new Set(definitions.flatMap(({ properties }) => Object.keys(properties)))]
        .sort()
        .map((name) => ({ name, title: propertyTitle(request.t, name) })),
      traits: [
        ...[...traits.values()].map(({ name, title }) => ({ name, title: title[request.language] })),
        ...usualTraits.map((name) => ({ name, title: request.t(`admin.trait.${name}`) })),
      ],
      segments: [...names].filter(([name]) => name !== key).map(([name, title]) => ({ name, title })),
      anniversaries: ['this_day', 'this_week', 'this_month', '7d', '30d'].map((name) => ({
        name,
        title: rangeInWords(request.t, name),
      })),
    },
    saying: root && counted && work.as === 'form' ? await sayingOf(deps, request, work.draft) : undefined,
  });
}

/** Every fault with where it is on the page: a field, a node, or nowhere when it is of the whole or of JSON. */
function faultLines({ as }: Work, { faults, sentences }: Found, root: ShownNode | undefined) {
  const places = new Map((root ? faultsOf(root) : []).map(({ id, fault }) => [fault, id]));
  return Object.entries(sentences).map(([path, sentence]) => {
    const place = places.get(faults.find((fault) => fault.path === path) as Fault);
    return { path, sentence, id: as === 'form' ? (place ?? headNames.find((name) => name === path)) : undefined };
  });
}

/** Only of what was counted, so of what has no fault. */
async function sayingOf(deps: AdminDependencies, request: AdminRequest, draft: Draft): Promise<string> {
  return sentenceIn(await wordsFor(deps, request), jsonOf(draft) as Parameters<typeof sentenceIn>[1]);
}

async function open(deps: AdminDependencies, request: AdminRequest): Promise<void> {
  const { query, language } = request;
  const template = templates.find(({ definition }) => definition.key === query.template);
  const kind = query.kind === 'list' ? 'list' : 'rule';
  const head = template ? { ...headOf(template.definition), name: template.title[language] } : headOf({});
  const draft = template ? draftOf(template.definition.where) : started();
  await showBuilder(deps, request, { head, kind, as: 'form', draft }, { key: undefined });
}

async function openExisting(deps: AdminDependencies, request: AdminRequest): Promise<void> {
  const { row, definition } = await segmentDetail(deps.db, request.params.key ?? '');
  if (row.kind === 'list') return request.go(`/admin/segments/${row.key}`);
  // The name can be newer than the definition: it is no question.
  const json = { ...definition, name: row.name };
  const work = turned({ head: headOf(json), kind: 'rule', as: 'json', json: JSON.stringify(json) });
  await showBuilder(deps, request, work, { key: row.key });
}

async function act(deps: AdminDependencies, request: AdminRequest): Promise<void> {
  const { form, params } = request;
  const { key } = params;
  const work = workIn(form, key);
  const asked = form.do ?? '';
  if (asked === 'save') return save(deps, request, work, key);
  if (asked === 'turn') {
    const other = turned(work);
    const found = other === work ? await check(deps, request, work) : nothing;
    return showBuilder(deps, request, other, { key, found });
  }
  if (asked === 'count') {
    const found = await check(deps, request, work);
    const isRight = !Object.keys(found.sentences).length;
    return showBuilder(deps, request, work, {
      key,
      found,
      counted: isRight ? await count(deps, request, work) : undefined,
    });
  }
  const next = work.as === 'form' ? { ...work, draft: changed(work.draft, asked, form) } : work;
  await showBuilder(deps, request, next, { key });
}

async function save(
  deps: AdminDependencies,
  request: AdminRequest,
  work: Work,
  key: string | undefined,
): Promise<void> {
  const { actor, staff, go, ctx, t } = request;
  const services = segmentServices(deps, request);
  const by = `staff:${staff.sub}`;
  const definition = definitionOf(work);
  try {
    const saved = await deps.db.transaction(async (trx) => {
      const { tz: _tz, ...head } = work.head;
      const made =
        key !== undefined
          ? await editSegment(trx, services, key, definition, by)
          : work.kind === 'list'
            ? await createList(trx, services, head, by)
            : await createSegment(trx, services, definition, by);
      const action = key === undefined ? 'segment.created' : 'segment.edited';
      await recordAudit(trx, { ...actor, action, details: { segment: made.key, version: made.version } });
      return made;
    });
    go(`/admin/segments/${saved.key}?done=${key === undefined ? 'created' : 'edited'}`);
  } catch (error) {
    if (!(error instanceof AppError) || !['invalid_fields', 'conflict'].includes(error.code)) throw error;
    ctx.status = error.status;
    const found =
      error.code === 'conflict'
        ? { faults: [], sentences: { key: t('admin.builder.key_taken') } }
        : work.kind === 'list'
          ? { faults: [], sentences: error.fields ?? {} }
          : await check(deps, request, work);
    await showBuilder(deps, request, work, { key, found });
  }
}

/** Asked by the page's script while somebody types: the part of the page that counts. */
async function preview(deps: AdminDependencies, request: AdminRequest): Promise<void> {
  const work = workIn(request.form, request.form.edited || undefined);
  const found = await check(deps, request, work);
  const isRight = !Object.keys(found.sentences).length;
  const counted = isRight ? await count(deps, request, work) : undefined;
  const saying = isRight && work.as === 'form' ? await sayingOf(deps, request, work.draft) : undefined;
  request.show('admin/segment-count', { counted, saying, isRight, faults: Object.keys(found.sentences).length });
}

/** A definition of 64 KB as a form is written. */
const limit = 512 * 1024;
const builder = { needs: 'segments:write', limit } as const;

export const segmentBuilderRoutes: AdminRoute[] = [
  { ...builder, method: 'get', path: '/admin/segment-builder', handle: open },
  { ...builder, method: 'post', path: '/admin/segment-builder', handle: act },
  { ...builder, method: 'get', path: '/admin/segments/:key/edit', handle: openExisting },
  { ...builder, method: 'post', path: '/admin/segments/:key/edit', handle: act },
  { ...builder, method: 'post', path: '/admin/segment-preview', handle: preview },
];
