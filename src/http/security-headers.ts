/**
 * Headers of every answer, errors included (threats A33, A35, G7). Pages load nothing from other hosts and run no inline script.
 */
import type { Middleware } from './server.ts';

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

/** The Content-Security-Policy; `formAction` adds the origins that a form's redirect chain may end at (Chromium checks the whole chain). */
export function contentSecurityPolicy(formAction: string[] = []): string {
  return Object.entries(policy)
    .map(([name, value]) => `${name} ${[value, ...(name === 'form-action' ? formAction : [])].join(' ')}`)
    .join('; ');
}

export function securityHeaders({ https }: { https: boolean }): Middleware {
  const headers = {
    'Content-Security-Policy': contentSecurityPolicy(),
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Permissions-Policy': 'camera=(), microphone=(), geolocation=()',
    ...(https && { 'Strict-Transport-Security': 'max-age=63072000; includeSubDomains' }),
  };
  return async (ctx, next) => {
    ctx.set(headers);
    await next();
  };
}
