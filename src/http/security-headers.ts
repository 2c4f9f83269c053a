/**
 * Headers of every answer, errors included (threats A33, A35, G7). Pages load nothing from other hosts and run no inline script.
 */
import type { ServerResponse } from 'node:http';

const policy = {
  'default-src': "'none'",
  'script-src': "'self'",
  'style-src': "'self'",
  'img-src': "'self' data:",
  'font-src': "'self'",
  'connect-src': "'self'",
  'form-action': "'self'",
  'base-uri': "'none'",
  'frame-ancestors': "'none'",
};

type Directive = keyof typeof policy | 'frame-src';

/**
 * The Content-Security-Policy; `formAction` adds the origins that a form's redirect chain may end at (Chromium checks the whole chain),
 * `more` what one page loads from elsewhere because an operator wanted it.
 */
export function contentSecurityPolicy(
  formAction: string[] = [],
  more: Partial<Record<Directive, string[]>> = {},
): string {
  const added: Partial<Record<Directive, string[]>> = { 'form-action': formAction, ...more };
  const names = [...new Set([...Object.keys(policy), ...Object.keys(more)])] as Directive[];
  return names
    .map((name) =>
      [name, ...(name in policy ? [policy[name as keyof typeof policy]] : []), ...(added[name] ?? [])].join(' '),
    )
    .join('; ');
}

export function securityHeaders({ https }: { https: boolean }): (res: ServerResponse) => void {
  const headers = {
    'Content-Security-Policy': contentSecurityPolicy(),
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Permissions-Policy': 'camera=(), microphone=(), geolocation=()',
    ...(https && { 'Strict-Transport-Security': 'max-age=63072000; includeSubDomains' }),
  };
  const lines = Object.entries(headers);
  return (res) => {
    for (const [name, value] of lines) res.setHeader(name, value);
  };
}
