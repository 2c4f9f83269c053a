/**
 * Who may do what in the console: one table, which every route of it names a line of (threat D17). A role is read anew at each
 * request, so what is taken away is gone at once.
 */
export const roles = ['owner', 'operator', 'viewer'] as const;
export type Role = (typeof roles)[number];

const everybody: readonly Role[] = roles;
const workers: readonly Role[] = ['owner', 'operator'];
const owners: readonly Role[] = ['owner'];

export const permissions = {
  /** The first page, signing out. */
  enter: everybody,
  /** People's pages and the queue of cases, identities masked. */
  'people:read': everybody,
  /** Finding people: a phone number in hand becomes a name. */
  'people:search': workers,
  /** Linking, unlinking, ending sessions. */
  'people:write': workers,
  /** Merging, undoing, deciding cases. */
  'merges:write': workers,
  /** Identities in clear; each look is recorded. */
  'people:unmask': owners,
  /** Touching the account of somebody who works in the console: whoever can sign in as them has their role. */
  'people:staff': owners,
  /** Segments and who is in them, identities masked; why somebody is. */
  'segments:read': everybody,
  /** Defining, pausing, archiving, filling lists; taking members away as a file. */
  'segments:write': workers,
  /** What trackers send, numbers and addresses masked, and what events mean. */
  'events:read': everybody,
  /** Saying what events mean: what counts, and what is refused. */
  'events:define': owners,
  /** Who may send events; the keys themselves are shown to nobody. */
  'keys:read': everybody,
  /** A server's key speaks for any person, and counts as proof of an order (threat F1); a declaration is a word before the law. */
  'keys:write': owners,
  /** Who works here, and as what. */
  'staff:write': owners,
  'audit:read': owners,
} as const satisfies Record<string, readonly Role[]>;

export type Permission = keyof typeof permissions;

export function isAllowed(role: Role, permission: Permission): boolean {
  return (permissions[permission] as readonly Role[]).includes(role);
}
