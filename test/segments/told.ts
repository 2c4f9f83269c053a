/** What a history that failed has to tell: in short what to look at, and the whole of it in a file of its own. */
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { World } from './oracle-world.ts';

/** The message is for who reads; `whole` has everything that was known. */
export class Disagreement extends Error {
  readonly whole: string;

  constructor(message: string, whole: string, cause?: unknown) {
    super(message, { cause });
    this.whole = whole;
  }
}

const mostShown = 6_000;

export function clip(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most)}… (${text.length} characters)` : text;
}

/** On one line, long texts cut, moments to be read. */
export function brief(value: unknown, most = 600): string {
  const cut = (_: string, one: unknown) => {
    if (typeof one === 'string' && one.length > 100) return clip(one, 20);
    return typeof one === 'number' && one > 1e12 && one < 1e13 ? new Date(one).toISOString() : one;
  };
  return clip(JSON.stringify(value, cut) ?? '', most);
}

/** @returns where it is */
export function keepWhole(name: string, text: string): string {
  const file = join(tmpdir(), name);
  writeFileSync(file, text);
  return file;
}

export function inShort(lines: string[]): string {
  return clip(lines.join('\n'), mostShown);
}

const facts = [
  'events',
  'bindings',
  'traits',
  'tags',
  'lists',
  'consents',
  'personalisation',
  'identities',
  'aliases',
  'subjects',
] as const;

/** A line for each fact that is needed for this to be so: what can be left out is. */
export function leastOf(world: World, isSo: (world: World) => boolean): string[] {
  let least = world;
  for (const kind of facts) {
    for (const one of world[kind]) {
      const less: World = { ...least, [kind]: (least[kind] as unknown[]).filter((other) => other !== one) };
      if (isSo(less)) least = less;
    }
  }
  return facts.flatMap((kind) => least[kind].map((one) => `  ${kind}: ${brief(one)}`));
}
