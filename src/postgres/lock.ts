/**
 * One owner of the embedded database at a time. The lock is a file that names its holder; it is void as soon as that very process
 * is gone, so a kill -9 or a power cut leaves nothing to clean up by hand.
 */
import { randomUUID } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { beginning } from './processes.ts';

export type Holder = {
  pid: number;
  began: string | undefined;
  /** `server` stays; `command` is gone in a moment. */
  kind: 'server' | 'command';
  /** Where the holder answers, for the sentence that a second start prints. */
  address?: string;
};

export type Lock = { release(): void };

/** The lock, or the holder that has it. */
export function takeLock(file: string, owner: Pick<Holder, 'kind' | 'address'>): Lock | Holder {
  const text = JSON.stringify({ pid: process.pid, began: beginning(process.pid), ...owner });
  const draft = `${file}.${randomUUID()}`;
  writeFileSync(draft, text, { mode: 0o600 });
  try {
    for (;;) {
      // A link appears whole or not at all, and for one of two processes only.
      if (tryLink(draft, file)) return { release: () => release(file, text) };
      const holder = readHolder(file);
      if (holder) return holder;
      clearStale(file);
    }
  } finally {
    rmSync(draft, { force: true });
  }
}

/** The process that holds the lock now. */
export function readHolder(file: string): Holder | undefined {
  const holder = parse(read(file));
  return holder && beginning(holder.pid) === holder.began ? holder : undefined;
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Moves the dead holder's file away first: of two processes that found it dead, one moves it, and a fresh lock is put back. */
function clearStale(file: string): void {
  const aside = `${file}.${randomUUID()}`;
  try {
    renameSync(file, aside);
  } catch {
    return;
  }
  if (readHolder(aside)) tryLink(aside, file);
  rmSync(aside, { force: true });
}

function release(file: string, text: string): void {
  if (read(file) === text) rmSync(file, { force: true });
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function parse(text: string | undefined): Holder | undefined {
  try {
    return text ? JSON.parse(text) : undefined;
  } catch {
    return undefined;
  }
}
