/**
 * The privacy policy as people see and agree to it: the page from the registry of purposes, the hash of its text as evidence
 * (PIPL articles 14 and 17), and the cookie by which this browser is not asked again. Records of consent belong to consent/.
 */
import { createHash } from 'node:crypto';
import { currentVersion, type PurposeName, purposes } from '../consent/consent.ts';
import type { Translate } from '../http/i18n.ts';
import type { Context } from '../http/server.ts';

type Basis = 'contract' | 'consent' | 'separate';

/** Articles 13, 23, 25 and 39: giving data to others, and abroad, asks for a consent of its own. */
const bases: Record<Exclude<PurposeName, 'privacy'>, Basis> = {
  profiling: 'consent',
  marketing: 'consent',
  ad_sharing: 'separate',
  cross_border: 'separate',
};

export const policyVersion = () => currentVersion('privacy');

export function policyPurposes(): { name: string; basis: Basis }[] {
  const names = (Object.keys(purposes) as PurposeName[]).filter((name) => name !== 'privacy');
  return [{ name: 'service', basis: 'contract' }, ...names.map((name) => ({ name, basis: bases[name] }))];
}

export const policySections = ['recipients', 'security', 'rights', 'minors', 'changes'] as const;

/** Of the words beside the box and every sentence of the policy in the reader's language. */
export function policyTextHash(t: Translate): string {
  const sentences = [
    t('login.agree'),
    t('login.agree_policy'),
    policyVersion(),
    t('policy.lead'),
    ...policyPurposes().flatMap(({ name, basis }) => [
      ...['name', 'what', 'retention'].map((part) => t(`policy.items.${name}.${part}`)),
      t(`policy.basis_${basis}`),
    ]),
    ...policySections.flatMap((section) => [t(`policy.${section}`), t(`policy.${section}_text`)]),
  ];
  return createHash('sha256').update(sentences.join('\n')).digest('hex');
}

const cookie = 'heyi_privacy';

/** Whether somebody agreed to the version in force in this browser. Who signs in is asked again when that was another person. */
export function browserHasAgreed(ctx: Context): boolean {
  return ctx.cookies.get(cookie, { signed: false }) === policyVersion();
}

export function rememberAgreement(ctx: Context, { https }: { https: boolean }): void {
  ctx.append(
    'Set-Cookie',
    `${cookie}=${policyVersion()}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax${https ? '; Secure' : ''}`,
  );
}
