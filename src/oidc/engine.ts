/**
 * The one door to oidc-provider. Its import prints a warning wherever the runtime has no LTS name, which the Node 26 that the project
 * brings was built too early to have; every test of ours runs on exactly this version, so that one sentence is left out.
 */
import type { EventEmitter } from 'node:events';

const warn = console.warn;
console.warn = (...words: unknown[]) => {
  if (!String(words[0]).includes('Unsupported runtime')) warn(...words);
};
const engine = await import('oidc-provider');
console.warn = warn;

export const Provider = engine.default;
export const { errors, interactionPolicy } = engine;
export type Engine = InstanceType<typeof Provider>;

/** The engine types each of its events apart; those that we treat alike have one shape: context and error. */
export function engineEvents(provider: Engine): EventEmitter {
  return provider;
}
