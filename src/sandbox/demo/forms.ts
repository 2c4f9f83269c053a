/** The shop's own guard of its forms: the hidden field must be this session's. */
import { timingSafeEqual } from 'node:crypto';
import { fail } from '../../errors.ts';
import { readForm } from '../../http/body.ts';
import type { Context } from '../../http/server.ts';
import type { Session } from './sessions.ts';

/** @throws form_expired */
export function checkCsrf(session: Session, sent: unknown): void {
  const [a, b] = [Buffer.from(String(sent ?? '')), Buffer.from(session.csrf)];
  if (a.length !== b.length || !timingSafeEqual(a, b)) throw fail('form_expired');
}

/** @throws form_expired and what readForm throws */
export async function ownForm(ctx: Context, session: Session): Promise<Record<string, string>> {
  const form = await readForm(ctx);
  checkCsrf(session, form.csrf);
  return form;
}

/** A path of our own to go back to; anything else (another origin, `//host`, a backslash) becomes the home page. */
export function ownPath(value: unknown): string {
  const text = String(value ?? '');
  return /^\/(?![/\\])[\w\-./?=&%]*$/.test(text) ? text : '/';
}
