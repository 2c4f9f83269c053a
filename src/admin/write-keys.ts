/**
 * Who may send events: the write keys, for those who have no shell. A key stands in one answer, that of the form which made it: in no
 * address, no cookie, no record, and no page afterwards. A form makes one key, however often it is sent.
 */
import type { Knex } from 'knex';
import { accountClientId } from '../account/visit.ts';
import { purposes } from '../consent/consent.ts';
import { fail } from '../errors.ts';
import { builtinChannels } from '../events/builtin-catalogue.ts';
import { lastSent, usualPerMinute } from '../events/quota.ts';
import {
  changeWriteKey,
  declareConsents,
  issueWriteKey,
  listWriteKeys,
  readWriteKey,
  type WriteKey,
} from '../events/write-keys.ts';
import { type ListedClient, listClients } from '../oidc/clients.ts';
import { issueTicket, takeTicket } from '../tickets.ts';
import type { AdminRequest, AdminRoute, Fields } from './console.ts';
import type { AdminDependencies } from './dependencies.ts';
import { adminClientId } from './door.ts';
import { clientField, formOf, places, purposeField, readDeclaration, readSettings } from './write-key-form.ts';

const notices = ['changed', 'declared', 'enabled', 'disabled', 'made'];
const doneOf = ({ query }: AdminRequest) => notices.find((notice) => notice === query.done);

async function list(deps: AdminDependencies, request: AdminRequest): Promise<void> {
  const [keys, sent, names] = await Promise.all([listWriteKeys(deps.db), lastSent(deps.db), clientNames(deps.db)]);
  request.show('admin/write-keys', {
    // Those that work first, as they were made.
    keys: keys
      .sort((a, b) => Number(b.is_enabled) - Number(a.is_enabled) || a.id - b.id)
      .map((key) => ({ ...shownKey(key, names), sent_at: sent.get(key.id) ?? null })),
    done: doneOf(request),
  });
}

async function one(deps: AdminDependencies, request: AdminRequest): Promise<void> {
  const key = await keyOf(deps.db, request);
  const [sent, clients] = await Promise.all([lastSent(deps.db), listClients(deps.db)]);
  request.show('admin/write-key', {
    key: { ...shownKey(key, namesOf(clients)), sent_at: sent.get(key.id) ?? null },
    use: useOf(deps, key, clients),
    done: doneOf(request),
  });
}

const namesOf = (clients: ListedClient[]) => new Map(clients.map(({ client_id, name }) => [client_id, name]));
const clientNames = async (db: Knex) => namesOf(await listClients(db));

function shownKey(key: WriteKey, names: Map<string, string>) {
  const clients = key.client_ids.map((id) => ({ id, name: names.get(id) ?? '' }));
  return { ...key, clients, per_minute: key.events_per_minute ?? usualPerMinute };
}

/** How a tracker is told of the key: which of our SDKs fits, and what it is given besides. */
function useOf({ publicUrl }: AdminDependencies, { kind, channel, client_ids }: WriteKey, clients: ListedClient[]) {
  const place = channel === 'miniprogram' || channel === 'website' ? channel : 'program';
  const ids = clients.filter(({ client_id, appid }) => client_ids.includes(client_id) && appid);
  return {
    place: kind === 'server' ? 'server' : place,
    issuer: publicUrl,
    client_id: ids[0]?.client_id ?? client_ids[0],
  };
}

/** @throws not_found */
async function keyOf(db: Knex, { params }: AdminRequest): Promise<WriteKey> {
  if (!/^[1-9]\d{0,8}$/.test(params.id ?? '')) throw fail('not_found');
  return readWriteKey(db, Number(params.id));
}

/** Applications that people sign in to, ours aside, and what the key names already. */
async function choices(db: Knex, key?: WriteKey) {
  const clients = await listClients(db);
  const offered = clients
    .filter(({ is_enabled, grant_types, client_id }) => is_enabled && signsIn(grant_types) && !isOwn(client_id))
    .map(({ client_id, name }) => ({ id: client_id, name }));
  const named = key?.client_ids.filter((id) => !offered.some((client) => client.id === id)) ?? [];
  const names = namesOf(clients);
  return [...offered, ...named.map((id) => ({ id, name: names.get(id) ?? '' }))].map((client) => ({
    ...client,
    field: clientField(client.id),
  }));
}

const signsIn = (grants: string[] | undefined) => grants?.some((grant) => grant !== 'client_credentials') ?? true;
const isOwn = (client_id: string) => client_id === adminClientId || client_id === accountClientId;

const ticket = 'new write key';
/** Long enough to ask a colleague for an address. */
const ticketSeconds = 86_400;

type Shown = { values: Fields; faults?: Fields; key?: WriteKey };

async function showForm(deps: AdminDependencies, { show }: AdminRequest, { values, faults = {}, key }: Shown) {
  const clients = await choices(deps.db, key);
  // Kept through a fault and a fresh sign-in: it is still the same form.
  const once = key
    ? ''
    : values.once || (await issueTicket(deps, { kind: ticket, payload: {}, seconds: ticketSeconds }));
  const offered = { clients, places: Object.keys(places), channels: builtinChannels };
  show('admin/write-key-form', { values, faults, key, once, ...offered, usualPerMinute });
}

async function make(deps: AdminDependencies, request: AdminRequest): Promise<void> {
  const { form, t, ctx, actor, go, show } = request;
  const { settings, faults } = readSettings(form, t);
  if (!settings) {
    ctx.status = 400;
    return showForm(deps, request, { values: form, faults });
  }
  const made = await deps.db.transaction(async (trx) => {
    const isFirst = await takeTicket({ db: trx, seal: deps.seal }, ticket, form.once ?? '');
    return isFirst && issueWriteKey(trx, deps.seal, settings, actor);
  });
  if (!made) return go('/admin/write-keys?done=made');
  const key = await readWriteKey(deps.db, made.id);
  show('admin/write-key-made', { key, secret: made.key, use: useOf(deps, key, await listClients(deps.db)) });
}

async function edit(deps: AdminDependencies, request: AdminRequest): Promise<void> {
  const key = await ownKeyOf(deps.db, request);
  const typed = Object.keys(request.form).length > 0;
  await showForm(deps, request, { values: typed ? request.form : formOf(key), key });
}

/** Those of the sandbox are its own. @throws not_found | conflict */
async function ownKeyOf(db: Knex, request: AdminRequest): Promise<WriteKey> {
  const key = await keyOf(db, request);
  if (key.source === 'sandbox') throw fail('conflict');
  return key;
}

async function change(deps: AdminDependencies, request: AdminRequest): Promise<void> {
  const { form, t, ctx, actor, go } = request;
  const key = await ownKeyOf(deps.db, request);
  const { settings, faults } = readSettings(form, t, key);
  if (!settings) {
    ctx.status = 400;
    return showForm(deps, request, { values: form, faults, key });
  }
  const { name, client_ids, channel, events_per_minute } = settings;
  // A server's form does not ask for websites, and nobody's asks for what the catalogue says.
  const origins = key.kind === 'server' ? undefined : settings.origins;
  const wanted = { name, client_ids, origins, channel, events_per_minute };
  await deps.db.transaction((trx) => changeWriteKey(trx, key.id, wanted, actor));
  go(`/admin/write-keys/${key.id}?done=changed`);
}

async function showDeclaration(
  deps: AdminDependencies,
  request: AdminRequest,
  { values, faults = {} }: { values?: Fields; faults?: Fields },
): Promise<void> {
  const key = await keyOf(deps.db, request);
  const declared = Object.fromEntries(key.declared_consents.map((purpose) => [purposeField(purpose), '1']));
  request.show('admin/write-key-consents', {
    key,
    values: values ?? { ...declared, by: key.declared_by ?? '' },
    faults,
    purposes: Object.keys(purposes).map((name) => ({ name, field: purposeField(name) })),
  });
}

async function declare(deps: AdminDependencies, request: AdminRequest): Promise<void> {
  const { form, t, ctx, actor, go } = request;
  const { id } = await keyOf(deps.db, request);
  const { declared, faults } = readDeclaration(form, t);
  if (!declared) {
    ctx.status = 400;
    return showDeclaration(deps, request, { values: form, faults });
  }
  await deps.db.transaction((trx) => declareConsents(trx, id, declared, actor));
  go(`/admin/write-keys/${id}?done=declared`);
}

async function setState(deps: AdminDependencies, request: AdminRequest): Promise<void> {
  const { form, actor, go } = request;
  const { id } = await keyOf(deps.db, request);
  const is_enabled = form.do === 'enable';
  // What the page showed when the button was pressed, or a second press would undo the first.
  if (!is_enabled && form.do !== 'disable') throw fail('bad_request');
  await deps.db.transaction((trx) => changeWriteKey(trx, id, { is_enabled }, actor));
  go(`/admin/write-keys/${id}?done=${is_enabled ? 'enabled' : 'disabled'}`);
}

const write = { needs: 'keys:write', fresh: true } as const;
const newPath = { ...write, path: '/admin/write-keys/new' };
const editPath = { ...write, path: '/admin/write-keys/:id/edit' };
const consentsPath = { ...write, path: '/admin/write-keys/:id/consents' };
const statePath = { ...write, path: '/admin/write-keys/:id/state' };

export const writeKeyRoutes: AdminRoute[] = [
  { method: 'get', path: '/admin/write-keys', needs: 'keys:read', handle: list },
  { ...newPath, method: 'get', handle: (deps, request) => showForm(deps, request, { values: request.form }) },
  { ...newPath, method: 'post', handle: make },
  { method: 'get', path: '/admin/write-keys/:id', needs: 'keys:read', handle: one },
  { ...editPath, method: 'get', handle: edit },
  { ...editPath, method: 'post', handle: change },
  {
    ...consentsPath,
    method: 'get',
    handle: (deps, request) =>
      showDeclaration(deps, request, Object.keys(request.form).length ? { values: request.form } : {}),
  },
  { ...consentsPath, method: 'post', handle: declare },
  {
    ...statePath,
    method: 'get',
    handle: async ({ db }, request) => request.show('admin/write-key-state', { key: await ownKeyOf(db, request) }),
  },
  { ...statePath, method: 'post', handle: setState },
];
