/**
 * Which addresses a client may register to be sent back to. Codes travel there, so the rule is narrow: https; http on loopback;
 * an app's own scheme with a dot in it (RFC 8252 section 7.1), which no scheme of a browser has.
 */

const loopback = new Set(['localhost', '127.0.0.1', '[::1]']);

/** A sentence when it must not be registered. */
export function redirectUriFault(uri: string, applicationType: 'web' | 'native'): string | undefined {
  // Whitespace, control characters and backslashes are read differently by URL parsers (threat A2).
  if (!URL.canParse(uri) || /[\s\p{Cc}\\]/u.test(uri)) return 'is not an absolute address';
  const url = new URL(uri);
  if (uri.includes('#')) return 'must not have a fragment';
  if (url.username || url.password) return 'must not hold a user name';
  if (uri.includes('*')) return 'must be exact: there are no wildcards';
  if (url.protocol === 'https:') return undefined;
  if (url.protocol === 'http:') return httpFault(url, applicationType);
  if (applicationType === 'web') return 'must be https';
  return url.protocol.includes('.') ? undefined : "an app's scheme must be a domain name of yours, reversed";
}

function httpFault(url: URL, applicationType: 'web' | 'native'): string | undefined {
  if (!loopback.has(url.hostname)) return 'must be https; http is for this machine alone';
  // The engine lets a native client use any port, and a name can be resolved elsewhere (RFC 8252 section 8.3, threat A4).
  if (applicationType === 'native' && url.hostname === 'localhost')
    return 'a native client uses http://127.0.0.1 or http://[::1], not the name localhost';
  return undefined;
}
