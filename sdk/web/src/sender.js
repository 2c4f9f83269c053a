/**
 * From the queue to Heyi. An event leaves the queue when Heyi has it, or says that it will never take it; anything else is kept and
 * offered again. Who was signed in when it happened decides how it is sent:
 *
 *   that person still is   with their token
 *   nobody was, or somebody else is now   with the write key, under the anonymous id it has
 *
 * @import { Storage } from './storage.js'
 * @import { Item, Queue } from './queue.js'
 * @import { Session } from './session.js'
 */
import { place } from './queue.js';
import { locked } from './storage.js';

const limits = {
  soonMs: 150,
  slowestMs: 300_000,
  timeoutMs: 15_000,
  /** A request that outlives its page has 64 KB in all browsers. */
  batchBytes: 60_000,
  batch: 100,
};
const pause = `${place}pause`;

/** @param {string} text */
export const byteLength = (text) => new TextEncoder().encode(text).length;

/**
 * @param {{ issuer: string, writeKey: string, queue: Queue, session: Session, storage: Storage, maySend: () => boolean }} options
 */
export function createSender({ issuer, writeKey, queue, session, storage, maySend }) {
  const url = `${issuer}/v1/batch`;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @type {Promise<void> | undefined} */
  let sending;
  let failures = 0;
  /** Of this page: what others left is not taken along when it closes. @type {Set<string>} */
  const own = new Set();
  /** @type {Set<string>} */
  const inFlight = new Set();

  /** @param {number} ms */
  function later(ms) {
    timer ??= setTimeout(flush, ms);
  }

  function flush() {
    clearTimeout(timer);
    timer = undefined;
    sending ??= locked('heyi.send', drain).finally(() => {
      sending = undefined;
      // Added after the last look.
      if (maySend() && queue.status().queued) later(limits.soonMs);
    });
    return sending;
  }

  /** Until when Heyi wants to be left alone (Retry-After), in all tabs and over reloads. */
  function pauseMs() {
    const left = Number(storage.get(pause)) - Date.now();
    // A clock that was set back must not silence us for years.
    return left > 0 && left < 86_400_000 ? left : 0;
  }

  async function drain() {
    for (;;) {
      if (!maySend()) return;
      const wait = pauseMs();
      if (wait) return later(wait);
      const batch = next(queue.list().filter(({ key }) => !inFlight.has(key)));
      if (!batch.length) return;
      if (!(await offer(batch).catch(() => false))) {
        // Half of it at random: a thousand browsers that were cut off together do not come back together.
        const backOff = Math.min(1000 * 2 ** failures++, limits.slowestMs) * (0.5 + Math.random() / 2);
        return later(Math.max(backOff, pauseMs() * (1 + Math.random() / 10)));
      }
      failures = 0;
    }
  }

  /** Whether these are done with. @param {Item[]} items @returns {Promise<boolean>} */
  async function offer(items) {
    const sub = items[0]?.sub;
    let token = sub ? await session.tokenFor(sub) : null;
    let answer = await post(items, token);
    if (sub && token && answer.status === 401) {
      token = await session.tokenFor(sub, token);
      answer = await post(items, token);
    }
    // Not a token that may write events, however fresh.
    if (token && (answer.status === 401 || answer.status === 403)) answer = await post(items, null);
    return settle(items, answer);
  }

  /** @param {Item[]} items @param {Awaited<ReturnType<typeof post>>} answer */
  async function settle(items, { status, after, rejected }) {
    if (status >= 200 && status < 300) {
      forget(items, rejected);
      return true;
    }
    if (status === 413 || status === 400) {
      const half = items.length >> 1;
      if (half) return (await offer(items.slice(0, half))) && (await offer(items.slice(half)));
      forget(items, 1);
      return true;
    }
    // 401, 403, 404: a setting is wrong, here or at Heyi, and somebody will put it right.
    if (status < 500 && status !== 429) console.warn(`heyi: ${url} answered ${status}`);
    const ms = after && (/^\d+$/.test(after) ? Number(after) * 1000 : Date.parse(after) - Date.now());
    if (ms) storage.set(pause, String(Date.now() + ms));
    return false;
  }

  /** @param {Item[]} items @param {number} refused */
  function forget(items, refused) {
    queue.refuse(refused);
    for (const { key } of items) {
      queue.remove(key);
      own.delete(key);
    }
  }

  /** @param {Item[]} items @param {string | null} token */
  async function post(items, token) {
    const body = bodyOf(items, token);
    const controller = new AbortController();
    const patience = setTimeout(() => controller.abort(), limits.timeoutMs);
    for (const { key } of items) inFlight.add(key);
    try {
      const answer = await fetch(url, {
        method: 'POST',
        body,
        credentials: 'omit',
        referrerPolicy: 'no-referrer',
        // Without a token it is a simple request, spared the preflight.
        headers: token ? { authorization: `Bearer ${token}`, 'content-type': 'application/json' } : {},
        keepalive: byteLength(body) < 64_000,
        signal: controller.signal,
      });
      const { rejected = [] } = answer.ok ? await answer.json() : {};
      return { status: answer.status, after: answer.headers.get('retry-after'), rejected: rejected.length };
    } finally {
      clearTimeout(patience);
      for (const { key } of items) inFlight.delete(key);
    }
  }

  /** @param {Item[]} items @param {string | null} token */
  function bodyOf(items, token) {
    const batch = items.map(({ event }) => event);
    return JSON.stringify({ ...(!token && { writeKey }), batch, sentAt: new Date().toISOString() });
  }

  /** The page is hidden, which on a phone may be the last we hear: nothing can be waited for. */
  function leave() {
    if (pauseMs() || !maySend()) return;
    const items = next(queue.list().filter(({ key }) => own.has(key) && !inFlight.has(key)));
    if (!items.length) return;
    const token = session.tokenNow(items[0]?.sub);
    // Theirs, but the token has to be renewed first: the next page sends it.
    if (token === undefined) return;
    // Where a request cannot outlive its page, a beacon can; its answer is never known, so the next page offers it again.
    if (!('keepalive' in Request.prototype)) {
      if (!token) navigator.sendBeacon(url, bodyOf(items, token));
      return;
    }
    post(items, token)
      .then((answer) => settle(items, answer))
      .catch(() => false)
      .then((isDone) => isDone || later(limits.soonMs));
  }

  return {
    flush,
    leave,
    /** @param {Omit<Item, 'key'>} item */
    send(item) {
      own.add(queue.add(item));
      later(limits.soonMs);
    },
    /** The network is back. */
    retry() {
      failures = 0;
      return flush();
    },
  };
}

/** The oldest, of one person, as many as one request takes. @param {Item[]} items */
function next(items) {
  let room = limits.batchBytes;
  const end = items.findIndex(({ sub, event }, index) => {
    room -= byteLength(JSON.stringify(event)) + 1;
    return index > 0 && (sub !== items[0]?.sub || index === limits.batch || room < 0);
  });
  return end < 0 ? items : items.slice(0, end);
}
