/**
 * Custom events for other vendors' scripts, where the page has loaded them; nothing is loaded here. They count page views themselves.
 * A person is known to each of them by an id of its own, so that two of them cannot put their records together, and none has the `sub`.
 *
 * @import { Options, Properties } from '../types.d.ts'
 * @typedef {Window & { gtag?: (...values: unknown[]) => void, _hmt?: { push(command: unknown[]): void } }} Vendors
 */

/** @param {NonNullable<Options['mirror']> & { mayMirror: (purpose: string) => boolean }} options */
export function createMirror({ ga4, baidu, salt, purpose = 'profiling', mayMirror }) {
  const vendors = /** @type {Vendors} */ (window);
  /** Whom they were last told of. @type {string | undefined} */
  let told;

  /** @param {string | undefined} sub */
  async function tell(sub) {
    if (!salt || !crypto.subtle || sub === told) return;
    told = sub;
    if (ga4) vendors.gtag?.('set', { user_id: sub ? await pairwise('ga4', sub) : null });
    if (baidu && sub) vendors._hmt?.push(['_setUserId', await pairwise('baidu', sub)]);
  }

  /** @param {string} vendor @param {string} sub */
  async function pairwise(vendor, sub) {
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(`${salt}|${vendor}|${sub}`));
    return Array.from(new Uint8Array(digest).slice(0, 16), (byte) => byte.toString(16).padStart(2, '0')).join('');
  }

  return {
    /** @param {string} event @param {Properties} properties @param {string | undefined} sub */
    async track(event, properties, sub) {
      if (!mayMirror(purpose)) return;
      await tell(sub);
      if (ga4) vendors.gtag?.('event', event, properties);
      if (baidu)
        vendors._hmt?.push(['_trackEvent', 'heyi', event, String(properties.product_id ?? properties.name ?? '')]);
    },
  };
}
