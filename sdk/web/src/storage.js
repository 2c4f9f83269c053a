/**
 * localStorage that never throws: private windows, blocked site data and a full disk leave the memory of the page, which is gone with
 * it. `mayKeep` says no where consent does; then nothing is written to the browser, and what is there can still be read and removed.
 *
 * @typedef {ReturnType<typeof createStorage>} Storage
 */

/** @param {() => boolean} mayKeep */
export function createStorage(mayKeep = () => true) {
  /** @type {Map<string, string>} */
  const memory = new Map();
  /**
   * @template T
   * @param {(area: globalThis.Storage) => T} use
   */
  const attempt = (use) => {
    try {
      // The getter itself throws where site data is blocked.
      return use(localStorage);
    } catch {
      return undefined;
    }
  };
  return {
    /** @param {string} key */
    get: (key) => memory.get(key) ?? attempt((area) => area.getItem(key)) ?? null,
    /**
     * @param {string} key
     * @param {string} value
     */
    set(key, value) {
      const isKept = mayKeep() && attempt((area) => area.setItem(key, value) === undefined);
      if (isKept) memory.delete(key);
      else memory.set(key, value);
    },
    /** @param {string} key */
    remove(key) {
      memory.delete(key);
      attempt((area) => area.removeItem(key));
    },
    /** What outlived a page goes; what is in the page's memory stays. @param {string} prefix */
    evict: (prefix) =>
      attempt((area) => {
        for (const key of Object.keys(area)) if (key.startsWith(prefix)) area.removeItem(key);
      }),
    /** @param {string} prefix */
    keys(prefix) {
      const kept = attempt((area) => Object.keys(area)) ?? [];
      return [...new Set([...memory.keys(), ...kept])].filter((key) => key.startsWith(prefix)).sort();
    },
  };
}

/**
 * The parsed value; null for what is missing or broken.
 *
 * @param {string | null} text
 */
export function parse(text) {
  try {
    return text === null ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

/** 128 random bits. crypto.randomUUID is missing on http pages and in older web views. */
export function randomHex() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Until what another tab changed is seen here too: storage and locks of a browser reach its tabs on different ways. */
const storageMs = 100;

/**
 * One tab at a time, each seeing what the one before left. A tab that the system froze may never let go, and older web views have no locks: then the work is done without
 * one, which Heyi allows for (message ids; a refresh token may be repeated for 30 seconds).
 *
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function locked(name, work) {
  const { locks } = navigator;
  if (!locks) return work();
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), 5000);
  let isMine = false;
  try {
    return await locks.request(name, { signal: patience.signal }, () => {
      isMine = true;
      clearTimeout(timer);
      return new Promise((resolve) => setTimeout(resolve, storageMs)).then(work);
    });
  } catch (error) {
    clearTimeout(timer);
    if (isMine) throw error;
    return work();
  }
}
