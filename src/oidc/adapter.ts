/**
 * What oidc-provider asks of a store (its example/my_adapter.js), on PostgreSQL. Ids are hashed and payloads sealed: sessions
 * and tokens are found by whoever holds their value, and by nobody who holds a copy of the database.
 *
 * Differs from a plain adapter in three ways: reads of one request are shared (unit.ts), writes of a token request can be
 * collected, and `consume` refuses a second use, which the engine leaves to the adapter.
 */
import { hash } from 'node:crypto';
import type { Adapter, AdapterFactory, AdapterPayload } from 'oidc-provider';
import type { Database } from '../database.ts';
import { endBindings } from '../events/bind.ts';
import type { Seal } from '../seal.ts';
import type { ClientDirectory } from './clients.ts';
import { errors } from './engine.ts';
import { lifetimes } from './lifetimes.ts';
import { reach } from './oauth-errors.ts';
import {
  type ArtifactRow,
  deleteArtifact,
  deleteByGrant,
  type FoundArtifact,
  findArtifact,
  findArtifactBy,
  findToken,
  saveArtifacts,
  saveOnce,
  spendAndSave,
} from './store.ts';
import { currentUnit, type LoadedToken } from './unit.ts';

export type AdapterDependencies = { db: Database; seal: Seal; clients: ClientDirectory };

/** How a secret value is found again. Values have 256 random bits: a plain hash cannot be guessed backwards. */
export function artifactId(value: string): string {
  return hash('sha256', value, 'base64url');
}

export function sealContext(model: string, id: string): string {
  return `oidc_artifacts ${model} ${id}`;
}

/** Models that belong to a grant and are redeemed or shown: read together with it. */
const grantTokens = new Set(['AccessToken', 'AuthorizationCode', 'RefreshToken']);
/** The owner of these decides who they belong to; everything else is found through its grant. */
const ownedModels = new Set(['Session', 'Grant']);

export function createAdapter(deps: AdapterDependencies): AdapterFactory {
  return (model) => (model === 'Client' ? clientAdapter(deps) : artifactAdapter(deps, model));
}

function artifactAdapter(deps: AdapterDependencies, model: string): Adapter {
  const { db, seal } = deps;
  const open = (row: FoundArtifact | undefined) => row && openPayload(seal, model, row);
  return {
    find: async (value) => {
      const id = artifactId(value);
      if (grantTokens.has(model)) return (await loadToken(deps, model, id))?.payload;
      const known = model === 'Grant' ? currentUnit()?.grants.get(id) : undefined;
      return known ?? open(await reach(findArtifact(db, model, id)));
    },
    findByUid: async (uid) => open(await reach(findArtifactBy(db, model, 'uid', uid))),
    findByUserCode: async (code) => open(await reach(findArtifactBy(db, model, 'user_code_hash', artifactId(code)))),
    upsert: (value, payload, expiresIn) => save(deps, rowOf(seal, model, value, payload, expiresIn), value, payload),
    consume: (value) => consume(deps, model, artifactId(value)),
    destroy: (value) => destroy(deps, model, artifactId(value)),
    revokeByGrantId: (grantId) => endTokens(deps, artifactId(grantId)),
  };
}

function openPayload(seal: Seal, model: string, row: FoundArtifact): AdapterPayload {
  const payload = JSON.parse(seal.open(row.payload_sealed, sealContext(model, row.id)));
  return row.consumed === null ? payload : { ...payload, consumed: row.consumed };
}

/** Token, grant and standing of the person in one read; the engine's next two questions are answered from it. */
export function loadToken(deps: AdapterDependencies, model: string, id: string): Promise<LoadedToken | undefined> {
  const unit = currentUnit();
  const key = `${model} ${id}`;
  const loading = unit?.tokens.get(key) ?? readToken(deps, model, id);
  unit?.tokens.set(key, loading);
  return loading;
}

async function readToken({ db, seal }: AdapterDependencies, model: string, id: string) {
  const row = await reach(findToken(db, { model, id }));
  if (!row) return undefined;
  const unit = currentUnit();
  if (row.grant_id && row.grant_payload_sealed && unit) {
    const grant = { id: row.grant_id, payload_sealed: row.grant_payload_sealed, consumed: null };
    unit.grants.set(row.grant_id, openPayload(seal, 'Grant', grant));
  }
  if (row.subject_id) unit?.standing.set(row.subject_id, row.subject_stands === true);
  const repeatable = row.just_consumed && row.successor_sealed;
  return {
    payload: openPayload(seal, model, row),
    repeat: repeatable ? seal.open(repeatable, sealContext('successor', id)) : undefined,
  };
}

function rowOf(
  seal: Seal,
  model: string,
  value: string,
  payload: AdapterPayload,
  ttl_seconds = lifetimes.refreshAbsolute as number,
): ArtifactRow {
  const id = artifactId(value);
  const { consumed: _, ...kept } = payload;
  return {
    model,
    id,
    payload_sealed: seal.seal(JSON.stringify(kept), sealContext(model, id)),
    grant_id: payload.grantId && model !== 'Interaction' ? artifactId(payload.grantId) : null,
    uid: payload.uid ?? null,
    user_code_hash: payload.userCode ? artifactId(payload.userCode) : null,
    subject_id: ownedModels.has(model) ? (payload.accountId ?? null) : null,
    client_id: payload.clientId ?? null,
    ttl_seconds,
  };
}

async function save(
  { db, seal }: AdapterDependencies,
  row: ArtifactRow,
  value: string,
  payload: AdapterPayload,
): Promise<void> {
  const unit = currentUnit();
  if (row.model === 'Grant') unit?.grants.set(row.id, payload);
  const writes = unit?.writes;
  if (row.model === 'ReplayDetection') {
    if (!(await reach(saveOnce(db, row)))) throw new errors.InvalidClientAuth('assertion was used at the same moment');
  } else if (writes) {
    writes.rows.push(row);
    const { spend, keepsSuccessor } = writes;
    if (keepsSuccessor && spend?.model === 'RefreshToken' && row.model === 'RefreshToken')
      spend.successor_sealed = seal.seal(value, sealContext('successor', spend.id));
  } else await reach(saveArtifacts(db, [row]));
}

async function consume({ db }: AdapterDependencies, model: string, id: string): Promise<void> {
  const writes = currentUnit()?.writes;
  if (writes) {
    writes.spend = { model, id };
    return;
  }
  if (await reach(spendAndSave(db, { spend: { model, id }, rows: [] }))) return;
  throw model === 'PushedAuthorizationRequest'
    ? new errors.InvalidRequestUri('request_uri is invalid, expired, or was already used')
    : new errors.InvalidGrant('already used');
}

async function destroy({ db }: AdapterDependencies, model: string, id: string): Promise<void> {
  currentUnit()?.grants.delete(id);
  await reach(
    db.transaction(async (trx) => {
      await deleteArtifact(trx, model, id);
      // An anonymous id stays bound as long as the grant it was bound with.
      if (model === 'Grant') await endBindings(trx, [id]);
    }),
  );
}

/** The engine asks once for each model, at the same time; the first answer serves all of them, whatever their model. */
function endTokens({ db }: AdapterDependencies, grant_id: string): Promise<void> {
  const unit = currentUnit();
  const ending = unit?.ended.get(grant_id) ?? reach(deleteByGrant(db, grant_id));
  unit?.ended.set(grant_id, ending);
  return ending;
}

function clientAdapter({ clients }: AdapterDependencies): Adapter {
  const never = async () => {
    throw new Error('clients are registered by staff, not through the engine');
  };
  return {
    find: async (client_id) => (await reach(clients.find(client_id)))?.metadata,
    findByUid: never,
    findByUserCode: never,
    upsert: never,
    consume: never,
    destroy: never,
    revokeByGrantId: never,
  };
}
