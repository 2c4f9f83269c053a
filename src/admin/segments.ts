/** Segments in the console: the list, and one of them: what it asks, how it grew, who is in it and why, its versions. */
import { recordAudit } from '../audit/audit.ts';
import { AppError, fail } from '../errors.ts';
import { countSetAside } from '../segments/aside-store.ts';
import { changesOf, explainMembership, type Member, membersOf, sizesOf } from '../segments/membership.ts';
import { standingSubs } from '../segments/people.ts';
import { changeList, type SegmentDetail, segmentDetail, segmentTrends, statusChanges } from '../segments/segment.ts';
import { templates } from '../segments/templates.ts';
import { currentSubject } from '../subjects/subjects.ts';
import type { AdminRequest, AdminRoute } from './console.ts';
import { toCsv } from './csv.ts';
import type { AdminDependencies } from './dependencies.ts';
import { lineChanges } from './line-changes.ts';
import { matchedLines } from './lines.ts';
import { briefOf, colleaguesIn, idOrNone } from './person.ts';
import { explanationTree } from './segment-explanation.ts';
import { asWritten, segmentServices, wordsFor } from './segment-services.ts';
import { phraseOf, sentenceIn } from './segment-words.ts';
import { sizeChart, sparkline } from './size-chart.ts';

const pageSize = 50;
const dayMs = 86_400_000;
const notices = ['created', 'edited', 'active', 'paused', 'archived', 'list_changed'];

async function list(deps: AdminDependencies, { query, show, language }: AdminRequest): Promise<void> {
  const to = deps.clock.now();
  const from = new Date(to.getTime() - 30 * dayMs);
  const rows = await segmentTrends(deps.db, { since: from, after: query.after, limit: pageSize + 1 });
  const segments = rows.slice(0, pageSize);
  show('admin/segments', {
    set_aside: await countSetAside(deps.db),
    segments: segments.map(({ trend, ...row }) => ({
      ...row,
      spark: sparkline(trend, { from, to }, trend[0]?.before ?? row.size),
    })),
    next: rows.length > pageSize ? segments.at(-1)?.key : undefined,
    templates: templates.map(({ title, description, definition }) => ({
      key: definition.key,
      title: title[language],
      description: description[language],
    })),
  });
}

type Page = (deps: AdminDependencies, request: AdminRequest, detail: SegmentDetail) => Promise<Record<string, unknown>>;

function segmentPage(tab: string, path: string, values: Page): AdminRoute {
  return {
    method: 'get',
    path: `/admin/segments/:key${path}`,
    needs: 'segments:read',
    async handle(deps, request) {
      const detail = await segmentDetail(deps.db, request.params.key ?? '');
      const done = notices.find((notice) => notice === request.query.done);
      const page = await values(deps, request, detail);
      request.show(`admin/segment-${tab}`, { ...head(detail), tab, done, ...page });
    },
  };
}

function head({ row, size, build }: SegmentDetail) {
  const isBuilding = build?.status === 'building' && row.status === 'active';
  return { segment: row, size, build, isBuilding, script: isBuilding ? 'live-page.js' : undefined };
}

async function overview(deps: AdminDependencies, request: AdminRequest, { row, size, definition }: SegmentDetail) {
  const to = deps.clock.now();
  // A young one is not drawn as a line of nothing: from the hour before it was made.
  const from = new Date(Math.max(to.getTime() - 90 * dayMs, row.created_at.getTime() - 3_600_000));
  const hours = await sizesOf(deps.db, row.key, from);
  const [first] = hours;
  const chart = sizeChart(hours, { from, to }, first ? first.size - first.entered + first.exited : size);
  const words = await wordsFor(deps, request);
  const isList = row.kind === 'list';
  return {
    chart: hours.length ? { ...chart, isShort: to.getTime() - from.getTime() < 3 * dayMs } : undefined,
    days: hours.slice(-14).reverse(),
    sentence: isList ? request.t('admin.segment.is_list') : sentenceIn(words, definition.where),
    phrase: isList ? undefined : phraseOf(words, definition.where),
    definition: isList ? undefined : asWritten(definition),
  };
}

async function members(deps: AdminDependencies, { query, t }: AdminRequest, { row }: SegmentDetail) {
  const found = await membersOf(deps.db, row.key, { after: idOrNone(query.after) ?? null, limit: pageSize + 1 });
  const page = found.slice(0, pageSize);
  const briefs = await Promise.all(page.map(({ sub }) => briefOf(deps, sub)));
  return {
    members: page.map((member, at) => ({ ...member, who: briefs[at], values: matchedLines(member.matched, t) })),
    next: found.length > pageSize ? page.at(-1)?.sub : undefined,
  };
}

async function changes(deps: AdminDependencies, { query, t }: AdminRequest, { row }: SegmentDetail) {
  const found = await changesOf(deps.db, row.key, { before: idOrNone(query.before) ?? null, limit: pageSize + 1 });
  const page = found.slice(0, pageSize);
  const briefs = new Map<string, Awaited<ReturnType<typeof briefOf>>>();
  for (const sub of new Set(page.map((change) => change.sub))) briefs.set(sub, await briefOf(deps, sub));
  return {
    changes: page.map((change) => ({
      ...change,
      who: briefs.get(change.sub),
      values: matchedLines(change.matched, t),
    })),
    next: found.length > pageSize ? page.at(-1)?.id : undefined,
  };
}

async function versions(deps: AdminDependencies, _request: AdminRequest, detail: SegmentDetail) {
  const authors = detail.versions.map(({ created_by }) => {
    const [, sub] = /^staff:(.+)$/.exec(created_by) ?? [];
    return sub ? { actor_kind: 'staff', actor_id: sub } : { actor_kind: 'client', actor_id: created_by };
  });
  const colleagues = await colleaguesIn(deps, authors);
  return {
    versions: detail.versions.map((version, at) => ({
      ...version,
      by: colleagues.get(authors[at]?.actor_id ?? '') ?? version.created_by.replace(/^(?:client|staff):/, ''),
      lines: lineChanges(
        asWritten(detail.versions[at + 1]?.definition ?? version.definition),
        asWritten(version.definition),
      ),
      isFirst: at === detail.versions.length - 1,
    })),
  };
}

async function explanation(deps: AdminDependencies, request: AdminRequest, { row }: SegmentDetail) {
  const asked = (request.query.sub ?? '').trim().toLowerCase();
  if (!asked) return { asked };
  const person = await currentSubject(deps.db, asked);
  if (!person) {
    request.ctx.status = 404;
    return { asked, isUnknown: true };
  }
  const why = await explainMembership(deps, row.key, person.sub);
  return {
    asked,
    answer: why,
    who: await briefOf(deps, person.sub),
    tree: why.explanation.where && explanationTree(why.explanation.where, await wordsFor(deps, request)),
    values: matchedLines(why.matched, request.t),
  };
}

async function setStatus(deps: AdminDependencies, request: AdminRequest): Promise<void> {
  const { params, form, actor, go, ctx, show, t } = request;
  const key = params.key ?? '';
  const status = (['active', 'paused', 'archived'] as const).find((known) => known === form.status);
  if (!status) throw fail('bad_request');
  try {
    await deps.db.transaction(async (trx) => {
      await statusChanges[status](trx, segmentServices(deps, request), key);
      await recordAudit(trx, { ...actor, action: `segment.${status}`, details: { segment: key } });
    });
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'conflict') throw error;
    const detail = await segmentDetail(deps.db, key);
    ctx.status = error.status;
    return show('admin/segment-overview', {
      ...head(detail),
      tab: 'overview',
      fault: t('admin.segment.asked_for'),
      ...(await overview(deps, request, detail)),
    });
  }
  go(`/admin/segments/${key}?done=${status}`);
}

async function fillList(deps: AdminDependencies, request: AdminRequest): Promise<void> {
  const { params, form, actor, staff, go, ctx, show, t } = request;
  const key = params.key ?? '';
  const subs = [
    ...new Set(
      (form.subs ?? '')
        .toLowerCase()
        .split(/[\s,，、;；]+/)
        .filter(Boolean),
    ),
  ];
  const isRemoval = form.do === 'remove';
  const ids = subs.filter((sub) => idOrNone(sub));
  const known = isRemoval ? new Set(ids) : await standingSubs(deps.db, ids);
  const nobodys = subs.filter((sub) => !known.has(sub));
  if (nobodys.length || !subs.length) {
    const detail = await segmentDetail(deps.db, key);
    const shown = nobodys.slice(0, 5).map((sub) => sub.slice(0, 40));
    ctx.status = 400;
    return show('admin/segment-members', {
      ...head(detail),
      tab: 'members',
      typed_subs: form.subs,
      subs_fault: nobodys.length
        ? t('admin.segment.nobodys', { count: nobodys.length, subs: shown.join(t('admin.and')) })
        : t('admin.segment.subs_hint'),
      ...(await members(deps, request, detail)),
    });
  }
  await deps.db.transaction(async (trx) => {
    const change = { add: isRemoval ? [] : subs, remove: isRemoval ? subs : [], by: `staff:${staff.sub}` };
    const changed = await changeList(trx, segmentServices(deps, request), key, change);
    await recordAudit(trx, { ...actor, action: 'segment.list_changed', details: { segment: key, ...changed } });
  });
  go(`/admin/segments/${key}/members?done=list_changed`);
}

/** So many at most in one file: what is made in memory. Programs page through all of them by the API. */
const mostExported = 50_000;

/** On record as taken away. Posted: a link that somebody sent must not make that record. */
async function exportMembers(deps: AdminDependencies, { ctx, params, actor, t }: AdminRequest): Promise<void> {
  const key = params.key ?? '';
  const found: Member[] = [];
  for (let after: string | null = null; found.length < mostExported; ) {
    const page: Member[] = await membersOf(deps.db, key, { after, limit: 5_000 });
    found.push(...page);
    after = page.at(-1)?.sub ?? null;
    if (page.length < 5_000) break;
  }
  await recordAudit(deps.db, {
    ...actor,
    action: 'segment.members_exported',
    details: { segment: key, members: found.length },
  });
  ctx.type = 'text/csv; charset=utf-8';
  ctx.attachment(`${key}.csv`);
  ctx.body = toCsv([
    ['sub', t('admin.segment.entered_at'), t('admin.segment.matched')],
    ...found.map(({ sub, entered_at, matched }) => [
      sub,
      entered_at.toISOString(),
      Object.entries(matched ?? {})
        .map(([path, values]) => `${path}: ${values.join(', ')}`)
        .join('; '),
    ]),
  ]);
}

const write = { method: 'post', needs: 'segments:write' } as const;

export const segmentRoutes: AdminRoute[] = [
  { method: 'get', path: '/admin/segments', needs: 'segments:read', handle: list },
  segmentPage('overview', '', overview),
  segmentPage('members', '/members', members),
  segmentPage('changes', '/changes', changes),
  segmentPage('versions', '/versions', versions),
  segmentPage('explain', '/explain', explanation),
  { ...write, path: '/admin/segments/:key/status', handle: setStatus },
  { ...write, path: '/admin/segments/:key/list', handle: fillList, limit: 64 * 1024 },
  { ...write, path: '/admin/segments/:key/members.csv', handle: exportMembers },
];
