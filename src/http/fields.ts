/** Field schemas that several nouns share. */
import { z } from 'zod';

/** Control characters have no place in a name or an id, and half a surrogate pair is no text that PostgreSQL takes in JSON (threat E5). */
export function text(longest: number) {
  return z
    .string()
    .max(longest)
    .regex(/^[^\p{Cc}\p{Cs}]*$/u, 'must not hold control characters or half a character');
}

export const name = text(100).min(1).meta({ description: 'Shown to people and in the admin console.' });

/** An open list: a company names its own. */
export const channel = z
  .string()
  .regex(/^[a-z][a-z0-9_]{0,39}$/, 'must be lower-case letters, digits and underscores')
  .meta({
    description: 'Built in: website, miniprogram, official_account, app, store, wecom, server. Others are allowed.',
  });

export const source = z
  .string()
  .meta({ description: '`sandbox`: seeded by the sandbox, and disabled by the next start without it.' });
