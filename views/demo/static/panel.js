/** The panel: two subjects, whether they are one, and what Heyi recorded of both. Asks the shop's back end every two seconds. */
import { data, text } from './data.js';
import { localEvents } from './local-events.js';

const panels = document.querySelectorAll('[data-panel]');
const seen = new Set();
let isFirst = true;

async function refresh() {
  const isWatched = [...panels].some((panel) => panel.checkVisibility());
  if (document.hidden || !isWatched) return;
  try {
    const answer = await fetch('/panel/state', { headers: { accept: 'application/json' } });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const state = await answer.json();
    for (const panel of panels) draw(panel, state);
    isFirst = false;
    document.dispatchEvent(new CustomEvent('demo:state', { detail: state }));
  } catch {
    for (const panel of panels) panel.querySelector('[data-away]').hidden = false;
  }
}

function draw(panel, state) {
  const part = (name) => panel.querySelector(`[data-${name}]`);
  part('away').hidden = state.is_available;
  for (const side of ['website', 'miniprogram']) {
    const place = panel.querySelector(`[data-sub="${side}"]`);
    const { sub } = state[side];
    place.textContent = sub ?? text('panel.nobody');
    place.classList.toggle('is-nobody', !sub);
  }
  const both = state.website.sub && state.miniprogram.sub;
  const verdict = state.is_same ? 'same' : both ? 'different' : 'waiting';
  panel.dataset.is = verdict;
  if (part('verdict').textContent !== text(`panel.${verdict}`)) part('verdict').textContent = text(`panel.${verdict}`);
  drawTimeline(part('timeline'), state);
}

function drawTimeline(list, state) {
  const stored = new Set(state.timeline.map((event) => event.message_id));
  const waiting = localEvents()
    .filter((event) => !stored.has(event.message_id))
    .map((event) => ({ ...event, is_waiting: true }));
  const events = [...state.timeline, ...waiting].sort((a, b) => b.timestamp.localeCompare(a.timestamp)).slice(0, 60);
  const mark = JSON.stringify([
    events.map((event) => [event.message_id, event.is_waiting]),
    state.website.sub,
    state.miniprogram.sub,
  ]);
  if (list.dataset.mark === mark) return;
  list.dataset.mark = mark;
  list.replaceChildren(...events.map((event) => row(event, state)));
  if (events.length === 0) list.replaceChildren(element('li', { class: 'timeline-empty' }, text('panel.empty')));
  for (const event of events) if (!event.is_waiting) seen.add(event.message_id);
}

function row(event, state) {
  const isFresh = !isFirst && !event.is_waiting && !seen.has(event.message_id);
  const side = ['website', 'miniprogram'].includes(event.channel) ? event.channel : 'other';
  const item = element('li', {
    class: `timeline-row ${side} ${event.is_waiting ? 'is-waiting' : ''} ${isFresh ? 'is-fresh' : ''}`,
  });
  item.dataset.messageId = event.message_id;
  const head = element('div', { class: 'timeline-head' });
  head.append(
    element('span', { class: 'channel' }, text(`channels.${side}`)),
    element('strong', {}, text(`events.${event.event}`).replace(/^events\./, '')),
    element('time', { datetime: event.timestamp }, time(event.timestamp)),
  );
  const detail = detailOf(event);
  item.append(head);
  if (detail) item.append(element('div', { class: 'timeline-detail' }, detail));
  const trust = event.is_waiting ? text('panel.not_joined') : text(`trust.${event.trust}`);
  const foot = element('div', { class: 'timeline-foot' }, trust);
  if (!event.is_waiting && !state.is_same && state.website.sub && state.miniprogram.sub)
    foot.append(` · ${shortSub(event.sub)}`);
  item.append(foot);
  return item;
}

function detailOf({ type, properties = {} }) {
  const { name, title, price, total, order_id } = properties;
  const words = [order_id, type === 'track' ? name : (title ?? name)].filter(Boolean);
  const amount = total ?? price;
  if (amount !== undefined)
    words.push(
      new Intl.NumberFormat(data.language, {
        style: 'currency',
        currency: 'CNY',
        currencyDisplay: 'narrowSymbol',
        maximumFractionDigits: 0,
      }).format(amount),
    );
  return words.join(' · ');
}

const shortSub = (sub) => `…${String(sub).slice(-6)}`;
const time = (value) =>
  new Date(value).toLocaleTimeString(data.language, {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hour12: false,
  });

function element(name, attributes, content) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (content !== undefined) made.textContent = content;
  return made;
}

if (panels.length) {
  refresh();
  setInterval(refresh, 2000);
  document.addEventListener('visibilitychange', refresh);
  for (const drawer of document.querySelectorAll('.drawer')) drawer.addEventListener('toggle', refresh);
  document.addEventListener('demo:changed', refresh);
}
