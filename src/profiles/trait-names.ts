/** What a trait may be called. */
import { isPersonalField } from '../events/personal.ts';
import { rfmNames } from './rfm.ts';
import { systemTraits } from './system-traits.ts';

const grammar = /^[\p{L}_][\p{L}\p{N}_.-]{0,99}$/u;

/** A trait is a row and never a field of an object of ours; others who read it as one must not reach a prototype (threat E5). */
const prototypes = new Set(['__proto__', 'constructor', 'prototype']);

export function isTraitName(name: string): boolean {
  return grammar.test(name) && name.isWellFormed() && !prototypes.has(name);
}

const system = new Set<string>([...systemTraits.map(({ name }) => name), ...rfmNames, 'created_at', 'last_sign_in_at']);

/** Names of what is worked out or known otherwise, and of what proves who somebody is: a phone number is an identity (threat F2). */
export function isTaken(name: string): boolean {
  return system.has(name) || isPersonalField(name);
}
