/** `heyi admin grant`: a role in the staff console, also when the last owner has lost their way in. */
import { type Role, roles } from '../admin/permissions.ts';
import { grantByEmail } from '../admin/staff.ts';
import { type Command, usageError, withDatabase } from './command.ts';

export const adminGrant: Command = {
  name: 'admin grant',
  summary: 'give a person a role in the staff console',
  details: 'A person who has not signed in yet gets the role when they first prove this e-mail address.',
  options: {
    email: { type: 'string', help: 'the e-mail address the person signs in with', required: true },
    role: { type: 'string', help: roles.join(', '), required: true },
  },
  async run({ email, role }) {
    if (!isRole(role)) throw usageError(`--role must be one of ${roles.join(', ')}`);
    const granted = await withDatabase((services) => grantByEmail(services, String(email), role));
    const text = granted.pending
      ? `The role ${role} waits for this address: it is given when the person signs in to the console.`
      : `${granted.sub} is ${role} now.`;
    return { data: { ...granted, role }, text };
  },
};

function isRole(value: unknown): value is Role {
  return roles.some((role) => role === value);
}
