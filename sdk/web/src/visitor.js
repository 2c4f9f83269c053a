/**
 * The anonymous id of this visitor, in a first-party cookie: a server that signs people in can read it, and the hosts of one domain
 * can share it. Under the purpose `service` alone it is gone with the browser's session.
 *
 * @import { Options } from '../types.d.ts'
 * @import { Consent } from './consent.js'
 * @typedef {ReturnType<typeof createVisitor>} Visitor
 */
import { randomHex } from './storage.js';

const yearSeconds = 31_536_000;

/** @param {{ consent: Consent, cookie: Options['cookie'] }} options */
export function createVisitor({ consent, cookie: { name = 'heyi_id', domain } = {} }) {
  /** Where cookies are blocked. @type {string | undefined} */
  let inMemory;
  let isRenewed = false;

  const read = () => document.cookie.match(new RegExp(`(?:^|; )${name}=([\\w-]{8,100})`))?.[1];

  /** @param {string} id @param {number} [seconds] */
  function write(id, seconds) {
    const age = seconds === undefined ? '' : `; max-age=${seconds}`;
    const secure = location.protocol === 'https:' ? '; secure' : '';
    // biome-ignore lint/suspicious/noDocumentCookie: cookieStore answers later, and is missing in most web views
    document.cookie = `${name}=${id}; path=/; samesite=lax${age}${domain ? `; domain=${domain}` : ''}${secure}`;
  }

  return {
    id() {
      if (!consent.mayCollect()) return null;
      const known = read() ?? inMemory;
      const id = known ?? `web-${randomHex()}`;
      // A year from the last visit.
      if (!known || !isRenewed) write(id, consent.mayKeep() ? yearSeconds : undefined);
      isRenewed = true;
      inMemory = id;
      return id;
    },
    /** Written again, with the life that the consent now allows. */
    renew() {
      isRenewed = false;
    },
    forget() {
      inMemory = undefined;
      isRenewed = false;
      if (read()) write('', 0);
    },
  };
}
