/** What a member of staff tried and may not: written down, as it is how a stolen account shows itself (threat D17). */
import type { Knex } from 'knex';
import { recordAudit } from '../audit/audit.ts';
import type { Actor } from '../subjects/actor.ts';
import type { Permission } from './permissions.ts';

export async function recordRefusal(
  db: Knex,
  actor: Actor,
  { method, path, needs }: { method: string; path: string; needs: Permission },
): Promise<void> {
  await recordAudit(db, { ...actor, action: 'staff.refused', details: { needs, route: `${method} ${path}` } });
}
