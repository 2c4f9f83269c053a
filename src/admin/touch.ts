/**
 * Whose account may be changed by whom. Whoever can sign in as a member of staff has that role: an operator who links their own phone to
 * an owner would be one (threat D17). So an account with a role is an owner's to change.
 */
import type { Knex } from 'knex';
import { fail } from '../errors.ts';
import type { Permission } from './permissions.ts';
import { roleOf } from './staff.ts';

/** @throws forbidden */
export async function assertMayTouch(
  db: Knex,
  { may }: { may(permission: Permission): boolean },
  sub: string,
): Promise<void> {
  if (!may('people:staff') && (await roleOf(db, sub))) throw fail('forbidden');
}
