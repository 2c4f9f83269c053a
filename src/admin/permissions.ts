/**
 * What each role may do in the console. A page names the permission it needs, the server checks it at each request (threat D17), and a
 * page shows only what its reader may do.
 */
export const roles = ['owner', 'operator', 'viewer'] as const;
export type Role = (typeof roles)[number];

const everybody: readonly Role[] = roles;
const operators: readonly Role[] = ['owner', 'operator'];
const owners: readonly Role[] = ['owner'];

export const permissions = {
  /** Search, and everything about a person, masked. */
  'people:read': everybody,
  /** Link and unlink, end what a person is signed in to. */
  'people:write': operators,
  /** Merge, undo, decide cases. */
  'merges:write': operators,
  /** Merge somebody who works in the console: the survivor's sign-in opens it. */
  'merges:staff': owners,
  /** Identities in clear, written to the audit record. */
  'people:unmask': owners,
  'staff:write': owners,
  'audit:read': owners,
} as const satisfies Record<string, readonly Role[]>;

export type Permission = keyof typeof permissions;

export function isAllowed(role: Role, permission: Permission): boolean {
  return permissions[permission].includes(role);
}
