/**
 * What waits to be sent. One entry of storage an event: tabs add and remove without overwriting each other, and what one of them left
 * behind another one sends. At the byte cap the oldest go, and are counted.
 *
 * @import { Storage } from './storage.js'
 * @typedef {{ messageId: string, context: { consent: { categoryPreferences: Record<string, boolean> } } } & Record<string, unknown>} Event
 * @typedef {{ key: string, sub: string | undefined, event: Event }} Item   sub: who was signed in when it happened
 * @typedef {ReturnType<typeof createQueue>} Queue
 */
import { parse, randomHex } from './storage.js';

/** Everything of tracking that outlives a page is kept under it. */
export const place = 'heyi.track.';
const prefix = `${place}queue.`;
const counts = `${place}counts`;

/** A browser's storage counts UTF-16. @param {string} key @param {string} text */
const bytes = (key, text) => 2 * (key.length + text.length);

/** @param {{ storage: Storage, maxBytes: number }} options */
export function createQueue({ storage, maxBytes }) {
  let sequence = 0;

  /** @param {'dropped' | 'refused'} what @param {number} number */
  function count(what, number) {
    if (!number) return;
    const kept = parse(storage.get(counts));
    storage.set(counts, JSON.stringify({ ...kept, [what]: (kept?.[what] ?? 0) + number }));
  }

  return {
    /** Keys sort by time; within a millisecond by the order here. @param {Omit<Item, 'key'>} item */
    add(item) {
      const order = String(sequence++).padStart(6, '0');
      const key = `${prefix}${Date.now()}.${order}.${randomHex().slice(0, 8)}`;
      const text = JSON.stringify(item);
      const waiting = storage.keys(prefix).map((at) => ({ at, size: bytes(at, storage.get(at) ?? '') }));
      let total = waiting.reduce((sum, { size }) => sum + size, bytes(key, text));
      let dropped = 0;
      for (const { at, size } of waiting) {
        if (total <= maxBytes) break;
        storage.remove(at);
        total -= size;
        dropped++;
      }
      count('dropped', dropped);
      storage.set(key, text);
      return key;
    },
    /** Oldest first. @returns {Item[]} */
    list: () =>
      storage.keys(prefix).flatMap((key) => {
        const item = parse(storage.get(key));
        if (item?.event) return [{ key, ...item }];
        storage.remove(key);
        return [];
      }),
    remove: storage.remove,
    /**
     * What was collected under purposes that no longer hold goes on without them; what only they allowed is gone.
     *
     * @param {(purpose: string) => boolean} holds
     */
    restrict(holds) {
      for (const { key, ...item } of this.list()) {
        const { categoryPreferences } = item.event.context.consent;
        const agreed = Object.keys(categoryPreferences).filter(
          (name) => name !== 'service' && categoryPreferences[name],
        );
        const lost = agreed.filter((purpose) => !holds(purpose));
        for (const purpose of lost) categoryPreferences[purpose] = false;
        if (lost.length && lost.length === agreed.length) storage.remove(key);
        else if (lost.length) storage.set(key, JSON.stringify(item));
      }
    },
    clear() {
      for (const key of storage.keys(place)) storage.remove(key);
    },
    /** @param {number} number */
    refuse: (number) => count('refused', number),
    status: () => ({ queued: storage.keys(prefix).length, dropped: 0, refused: 0, ...parse(storage.get(counts)) }),
  };
}
