/** What connectors take, over a real database, with every log line kept. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runInNewContext } from 'node:vm';
import { projectRoot } from '../../src/config.ts';
import { createProofOfWork } from '../../src/connectors/captcha.ts';
import type { Captcha, ConnectorServices, StartInput } from '../../src/connectors/contract.ts';
import type { Database } from '../../src/database.ts';
import { AppError, type ErrorCode } from '../../src/errors.ts';
import { createLimits } from '../../src/http/limits.ts';
import { createLogger } from '../../src/log.ts';
import { createSeal } from '../../src/seal.ts';
import { keptLog } from '../helpers/kept-log.ts';

export type TestServices = ConnectorServices & { logged(): string };

export function testServices(db: Database, options: { smsRegions?: string[]; now?: Date } = {}): TestServices {
  const { lines, destination } = keptLog();
  const seal = createSeal('a secret of at least thirty-two characters');
  const clock = { now: () => options.now ?? new Date() };
  const limits = createLimits({ db, seal });
  return {
    db,
    seal,
    clock,
    log: createLogger({ level: 'trace', destination }),
    limits,
    captcha: createProofOfWork({ seal, limits, clock }),
    privateOrigins: [],
    smsRegions: options.smsRegions ?? ['86'],
    isSomebodys: async () => false,
    logged: () => lines.join(''),
  };
}

let people = 0;

/** A number and an address nobody else in this run uses, so that limits of one test do not reach another. */
export function newPerson(): { phone: string; email: string; ip: string } {
  people += 1;
  const digits = String(10_000_000 + people);
  return {
    phone: `+86139${digits}`,
    email: `person${people}@example.com`,
    ip: `10.${people >> 8}.${people & 255}.7`,
  };
}

export function asking(to: string, ip = newPerson().ip): StartInput {
  return { to, ip, purpose: 'login', binding: 'browser-1', locale: 'zh-CN' };
}

/** The error a promise ends with; fails the test when it ends well. */
export async function errorOf(promise: Promise<unknown>): Promise<AppError> {
  const error = await promise.then(
    () => new Error('it ended well'),
    (refused: unknown) => refused,
  );
  if (!(error instanceof AppError)) throw error;
  return error;
}

/** In place of the proof of work, where it is only of interest when it is demanded. */
export const easyCaptcha: Captcha = {
  challenge: async () => ({}),
  verify: async (solution) => solution === 'solved',
};

/** What views/static/captcha.js puts into the form: solved by the very script that browsers run. */
export function solveCaptcha(challenge: object): string {
  const self: { onmessage?(event: object): void; postMessage?(solution: unknown): void } = {};
  let solution: unknown;
  self.postMessage = (found) => {
    solution = found;
  };
  runInNewContext(readFileSync(join(projectRoot, 'views/static/captcha-worker.js'), 'utf8'), { self });
  self.onmessage?.({ data: challenge });
  return Buffer.from(JSON.stringify({ challenge, solution })).toString('base64');
}

export async function codeOf(promise: Promise<unknown>): Promise<ErrorCode> {
  return (await errorOf(promise)).code;
}

/** How each of many parallel attempts ended: `ok`, or its error code; with counts. */
export async function outcomes(promises: Promise<unknown>[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const outcome of await Promise.allSettled(promises)) {
    const name = outcome.status === 'fulfilled' ? 'ok' : String(outcome.reason.code ?? outcome.reason);
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

/** Lets every limit's window end. */
export async function windowsEnd(db: Database): Promise<void> {
  await db('rate_limits').delete();
}
