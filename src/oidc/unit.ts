/**
 * What one request has read and is about to write. The engine loads token, grant and person one by one and saves each thing
 * alone; here the reads of a request share one round trip, and the writes of a token request become one statement.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { AdapterPayload } from 'oidc-provider';
import type { ArtifactRow, Spend } from './store.ts';

export type LoadedToken = {
  payload: AdapterPayload;
  /** Spent within the time in which a public client may repeat it, with what it was exchanged for. */
  repeat: string | undefined;
};

export type Unit = {
  tokens: Map<string, Promise<LoadedToken | undefined>>;
  grants: Map<string, AdapterPayload>;
  /** sub → stands */
  standing: Map<string, boolean>;
  /** Grants that this request has already ended. */
  ended: Map<string, Promise<void>>;
  /** Set while the writes of a token request are collected. */
  writes: Writes | undefined;
};

export type Writes = {
  rows: ArtifactRow[];
  spend: Spend | undefined;
  /** Keep the successor of a rotated refresh token for a repeat. */
  keepsSuccessor: boolean;
};

const units = new AsyncLocalStorage<Unit>();

export function inUnit<T>(work: () => T): T {
  const unit = { tokens: new Map(), grants: new Map(), standing: new Map(), ended: new Map(), writes: undefined };
  return units.run(unit, work);
}

export function currentUnit(): Unit | undefined {
  return units.getStore();
}
