/**
 * A demo's look behind the curtain: events of people who are not signed in yet. Heyi has them under an anonymous id that no
 * subject owns, so its timeline cannot show them; this browser remembers what it sent, until they turn up there.
 */
const key = 'demo.local_events';
const keptMs = 30 * 60_000;

export function localEvents() {
  try {
    return JSON.parse(localStorage.getItem(key) ?? '[]').filter(
      ({ timestamp }) => Date.now() - Date.parse(timestamp) < keptMs,
    );
  } catch {
    return [];
  }
}

export function addLocalEvents(events) {
  const known = new Set(localEvents().map((event) => event.message_id));
  const fresh = events.filter((event) => !known.has(event.message_id));
  localStorage.setItem(key, JSON.stringify([...localEvents(), ...fresh].slice(-40)));
}

export function dropLocalEvents(channel) {
  localStorage.setItem(key, JSON.stringify(localEvents().filter((event) => event.channel !== channel)));
}
