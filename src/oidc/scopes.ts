/** What can be asked for, and the one protected resource: our own APIs. */

/** OpenID Connect Core section 5.4: which claims each scope opens. */
export const claimsByScope = {
  openid: ['sub'],
  profile: ['name', 'nickname', 'picture', 'locale'],
  email: ['email', 'email_verified'],
  phone: ['phone_number', 'phone_number_verified'],
};

/** Scopes about the person; all others belong to the APIs. */
export const identityScopes = ['openid', 'offline_access', 'profile', 'email', 'phone'];

/** All that a person's token for the APIs can carry, whatever was asked (threat D19). */
export const personScopes = ['events:write', 'me:read', 'me:write'];

/** For client credentials, each client limited to its own list. */
export const machineScopes = [
  'events:write',
  'subjects:read',
  'subjects:write',
  'subjects:pii',
  'settings:write',
  'segments:read',
  'segments:write',
  'wechat:token',
];

export function apiResource(publicUrl: string): string {
  return `${publicUrl}/api`;
}

export function words(text: unknown): string[] {
  return typeof text === 'string' ? [...new Set(text.split(' ').filter(Boolean))] : [];
}
