/**
 * What this visitor agreed to. Three states:
 *
 *   undecided   nothing is stored, nothing is sent         (`requireConsent: false` makes it the next)
 *   service     events of the purpose `service` alone; the id goes with the browser's session, the queue with the page
 *   purposes    id and queue survive; each event says which purposes it was collected under
 *
 * @import { Choice, Options } from '../types.d.ts'
 * @typedef {ReturnType<typeof createConsent>} Consent
 */
import { createStorage, parse } from './storage.js';

const key = 'heyi.consent';

/**
 * @param {Pick<Options, 'consent' | 'requireConsent' | 'purposes'>} options
 */
export function createConsent({ consent: told, requireConsent = true, purposes = {} }) {
  // The choice itself is kept, a refusal too: nobody wants to be asked on every page.
  const storage = createStorage();
  const version = JSON.stringify(purposes);

  /** Read each time: a withdrawal in another tab holds here at once. @returns {Choice | null} */
  function choice() {
    if (told === null) return null;
    const kept = parse(storage.get(key));
    return kept?.version === version ? kept.choice : null;
  }

  const granted = (/** @type {Choice | null} */ given) =>
    Object.keys(given ?? {}).filter((purpose) => given?.[purpose] && purpose !== 'service');

  return {
    choice,
    /** Answers whether something was agreed to before, in whatever version. @param {Choice | null} given */
    set(given) {
      const before = parse(storage.get(key))?.choice;
      told = given === null ? null : undefined;
      if (given) storage.set(key, JSON.stringify({ version, choice: given }));
      else storage.remove(key);
      return granted(before).length > 0;
    },
    mayCollect: () => !requireConsent || choice() !== null,
    /** Whether anything of tracking may outlive the page. */
    mayKeep: () => granted(choice()).length > 0,
    /** @param {string} purpose */
    has: (purpose) => granted(choice()).includes(purpose),
    /** As it is stamped on an event. */
    preferences: () => ({ ...choice(), service: true }),
    /** `profiling@1 marketing@1`, for the token request. */
    parameter: () =>
      granted(choice())
        .map((purpose) => `${purpose}@${purposes[purpose] ?? '1'}`)
        .join(' '),
  };
}
