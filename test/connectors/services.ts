/** What connectors take, over a real database, with every log line kept. */
import { Writable } from 'node:stream';
import type { ConnectorServices, StartInput } from '../../src/connectors/contract.ts';
import type { Database } from '../../src/database.ts';
import { AppError, type ErrorCode } from '../../src/errors.ts';
import { createLimits } from '../../src/http/limits.ts';
import { createLogger } from '../../src/log.ts';
import { createSeal } from '../../src/seal.ts';

export type TestServices = ConnectorServices & { logged(): string };

export function testServices(db: Database, options: { smsRegions?: string[]; now?: Date } = {}): TestServices {
  const lines: string[] = [];
  const destination = new Writable({
    write(chunk, _encoding, done) {
      lines.push(chunk.toString());
      done();
    },
  });
  const seal = createSeal('a secret of at least thirty-two characters');
  return {
    db,
    seal,
    clock: { now: () => options.now ?? new Date() },
    log: createLogger({ level: 'trace', destination }),
    limits: createLimits({ db, seal }),
    smsRegions: options.smsRegions ?? ['86'],
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
