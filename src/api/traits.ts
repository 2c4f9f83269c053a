/** Traits that are worked out of events, the thresholds of RFM, and tags by rule. The rules are segments/ and profiles/. */
import { z } from 'zod';
import { recordAudit } from '../audit/audit.ts';
import { fail } from '../errors.ts';
import { text } from '../http/fields.ts';
import { readWorkings } from '../profiles/computed.ts';
import { rfmSettings } from '../profiles/rfm.ts';
import type { ComputedTrait } from '../profiles/trait.ts';
import { type TraitRow, traitDefinitions } from '../profiles/trait-store.ts';
import { readTagRules } from '../segments/tag-rule-store.ts';
import { addTagRule, removeTagRule } from '../segments/tag-rules.ts';
import { changeRfm, defineTrait, editTrait, removeTrait } from '../segments/trait-change.ts';
import { idempotencyHeaders, writeOnce } from './idempotency.ts';
import { timestamp } from './page.ts';
import { type ApiServices, actorOf, route } from './services.ts';

const given = z.looseObject({}).meta({
  id: 'TraitDefinition',
  description:
    '`{ name, title: { "zh-CN", "en" }, definition, tz? }`; docs/profiles.md says what `definition` may hold.',
});
const trait = z
  .object({
    name: z.string(),
    title: z.object({ 'zh-CN': z.string(), en: z.string() }),
    origin: z.enum(['system', 'company']),
    definition: z.looseObject({}).nullable().meta({ description: 'Null for what is more than one value of events.' }),
    tz: z.string().nullable(),
    version: z.int().nullable(),
    created_at: timestamp.nullable(),
    created_by: z.string().nullable(),
    updated_at: timestamp.nullable(),
  })
  .meta({ id: 'Trait' });
const rule = z
  .object({ tag: z.string(), segment: z.string(), created_at: timestamp, created_by: z.string() })
  .meta({ id: 'TagRule' });
const done = z.object({ is_changed: z.boolean() });

const named = z.object({ name: z.string() });
const ruled = z.object({ tag: text(100).min(1), segment: text(100).min(1) });
const tag = 'Traits and tags';
const reads = { tag, scopes: ['segments:read'] };
const writes = { tag, scopes: ['segments:write'], headers: idempotencyHeaders };

function shown({ name, title, origin, definition }: ComputedTrait, row: TraitRow | undefined) {
  const { tz = null, version = null, created_at = null, created_by = null, updated_at = null } = row ?? {};
  return {
    name,
    title,
    origin,
    definition: definition && { ...definition },
    tz,
    version,
    created_at,
    created_by,
    updated_at,
  };
}

async function all({ db }: Pick<ApiServices, 'db'>) {
  const { traits } = await readWorkings(db);
  const rows = new Map((await traitDefinitions(db)).map((row) => [row.name, row]));
  return [...traits.values()].map((one) => shown(one, rows.get(one.name)));
}

/** @throws not_found */
async function one(services: Pick<ApiServices, 'db'>, name: string) {
  const found = (await all(services)).find((known) => known.name === name);
  if (!found) throw fail('not_found');
  return found;
}

export const traitRoutes = [
  route({
    ...reads,
    method: 'get',
    path: '/traits',
    id: 'listTraits',
    summary: 'Traits that are worked out: the company’s own and those of every profile',
    answer: z.object({ data: z.array(trait) }),
    handle: async (services) => ({ data: await all(services) }),
  }),
  route({
    ...writes,
    method: 'post',
    path: '/traits',
    id: 'defineTrait',
    summary: 'Define a trait that is worked out of events',
    description: 'Every fault of the definition is named by its path.',
    body: given,
    status: 201,
    answer: trait,
    errors: ['conflict', 'idempotency_key_reused'],
    handle(services, request) {
      const { body, caller, headers } = request;
      return writeOnce(services, { caller, operation: 'defineTrait', body, headers }, async (trx) => {
        const { name } = await defineTrait(trx, services, body, `client:${caller.client_id}`);
        await recordAudit(trx, { ...actorOf(request), action: 'trait.defined', details: { trait: name } });
        return one({ db: trx }, name);
      });
    },
  }),
  route({
    ...reads,
    method: 'get',
    path: '/traits/{name}',
    id: 'getTrait',
    summary: 'One of them',
    params: named,
    answer: trait,
    handle: (services, { params: { name } }) => one(services, name),
  }),
  route({
    ...writes,
    method: 'put',
    path: '/traits/{name}',
    id: 'editTrait',
    summary: 'Define it anew',
    description: 'Segments that read it are evaluated for everybody again.',
    params: named,
    body: given,
    answer: trait,
    errors: ['idempotency_key_reused'],
    handle(services, request) {
      const {
        params: { name },
        body,
        caller,
        headers,
      } = request;
      return writeOnce(services, { caller, operation: `editTrait ${name}`, body, headers }, async (trx) => {
        await editTrait(trx, services, name, body);
        await recordAudit(trx, { ...actorOf(request), action: 'trait.edited', details: { trait: name } });
        return one({ db: trx }, name);
      });
    },
  }),
  route({
    ...writes,
    method: 'delete',
    path: '/traits/{name}',
    id: 'removeTrait',
    summary: 'Remove it',
    description: 'Not while a segment asks for it.',
    params: named,
    answer: done,
    errors: ['conflict', 'idempotency_key_reused'],
    handle(services, request) {
      const {
        params: { name },
        caller,
        headers,
      } = request;
      return writeOnce(services, { caller, operation: `removeTrait ${name}`, body: {}, headers }, async (trx) => {
        await removeTrait(trx, name);
        await recordAudit(trx, { ...actorOf(request), action: 'trait.removed', details: { trait: name } });
        return { is_changed: true };
      });
    },
  }),
  route({
    ...reads,
    method: 'get',
    path: '/rfm',
    id: 'getRfm',
    summary: 'By which thresholds recency, frequency and monetary value are scored',
    answer: rfmSettings,
    handle: async ({ db }) => (await readWorkings(db)).rfm,
  }),
  route({
    ...writes,
    method: 'put',
    path: '/rfm',
    id: 'changeRfm',
    summary: 'Score by other thresholds',
    description: 'A score is 1, and one more for each of four thresholds that is met.',
    body: rfmSettings,
    answer: rfmSettings,
    errors: ['idempotency_key_reused'],
    handle(services, request) {
      const { body, caller, headers } = request;
      return writeOnce(services, { caller, operation: 'changeRfm', body, headers }, async (trx) => {
        await changeRfm(trx, services, body, `client:${caller.client_id}`);
        await recordAudit(trx, { ...actorOf(request), action: 'rfm.changed', details: body });
        return body;
      });
    },
  }),
  route({
    ...reads,
    method: 'get',
    path: '/tag-rules',
    id: 'listTagRules',
    summary: 'Which segments give which tags',
    answer: z.object({ data: z.array(rule) }),
    handle: async ({ db }) => ({ data: await readTagRules(db) }),
  }),
  route({
    ...writes,
    method: 'put',
    path: '/tag-rules/{tag}/{segment}',
    id: 'addTagRule',
    summary: 'Members of the segment carry the tag as long as they are members',
    params: ruled,
    answer: done,
    errors: ['idempotency_key_reused'],
    handle(services, request) {
      const { params, caller, headers } = request;
      const operation = `addTagRule ${params.tag} ${params.segment}`;
      return writeOnce(services, { caller, operation, body: {}, headers }, async (trx) => {
        const is_changed = await addTagRule(trx, services, { ...params, by: `client:${caller.client_id}` });
        if (is_changed) await recordAudit(trx, { ...actorOf(request), action: 'tag_rule.added', details: params });
        return { is_changed };
      });
    },
  }),
  route({
    ...writes,
    method: 'delete',
    path: '/tag-rules/{tag}/{segment}',
    id: 'removeTagRule',
    summary: 'Give the tag by this segment no more',
    params: ruled,
    answer: done,
    errors: ['idempotency_key_reused'],
    handle(services, request) {
      const { params, caller, headers } = request;
      const operation = `removeTagRule ${params.tag} ${params.segment}`;
      return writeOnce(services, { caller, operation, body: {}, headers }, async (trx) => {
        await removeTagRule(trx, services, params);
        await recordAudit(trx, { ...actorOf(request), action: 'tag_rule.removed', details: params });
        return { is_changed: true };
      });
    },
  }),
];
