/**
 * The phone on the page: who holds it, its frame, WeChat's own sheets, and the mini-program inside. The sandbox answers for
 * WeChat's servers: login codes and phone codes come from there.
 */
import { data, text } from '../data.js';
import { addLocalEvents, dropLocalEvents } from '../local-events.js';
import { createMiniProgram } from './runtime.js';
import { createScreen } from './screen.js';

const { appid, ext, sandbox_url } = data;
const settingsKey = 'demo.phone';
const $ = (id) => document.getElementById(id);

let settings = { person_id: '', scene: 1001, ...JSON.parse(localStorage.getItem(settingsKey) ?? '{}') };
let people = [];
let program = null;
let manifest;
let hiddenAt = 0;
let reported;
let shownMessage;

const holder = () => people.find((person) => person.person_id === settings.person_id);
const options = (opened = {}) => ({
  path: 'pages/index/index',
  query: {},
  scene: settings.scene,
  referrerInfo: {},
  apiCategory: 'default',
  ...opened,
});

/** A scanned code or an opened link led here: the sandbox's address says who holds the phone and what opens. Taken once. */
function takeOpening() {
  const given = new URLSearchParams(location.search);
  const person_id = given.get('person_id');
  if (!person_id) return undefined;
  const opened = {
    path: given.get('path') || 'pages/index/index',
    query: JSON.parse(given.get('query') || '{}'),
    scene: Number(given.get('scene')) || settings.scene,
  };
  for (const name of ['person_id', 'path', 'query', 'scene']) given.delete(name);
  history.replaceState(null, '', `${location.pathname}${given.size ? `?${given}` : ''}`);
  return { person_id, opened };
}

async function sandbox(path, { method = 'GET', body } = {}) {
  const answer = await fetch(`${sandbox_url}${path}`, {
    method,
    headers: { accept: 'application/json', ...(body && { 'content-type': 'application/json' }) },
    body: body && JSON.stringify(body),
  });
  const result = await answer.json();
  if (!answer.ok)
    throw Object.assign(new Error(result.error?.message ?? `HTTP ${answer.status}`), { status: answer.status });
  return result;
}

const phone = {
  appid,
  ext,
  // The shop registered these two in WeChat's console; nothing else is reached.
  domains: [ext.issuer, ext.shop_url],
  language: data.language === 'en' ? 'en' : 'zh_CN',
  get storagePrefix() {
    return `wx:${settings.person_id}:${appid}:`;
  },
  launchOptions: {},
  enterOptions: {},
  code: (kind) => sandbox(`/people/${settings.person_id}/${kind}`, { method: 'POST', body: { appid } }),
  isStopped: () => hiddenAt > 0 && Date.now() - hiddenAt > 5000,
  stored(key) {
    if (key === 'heyi.session' || key === '') report();
  },
  clearStorage() {
    for (const key of Object.keys(localStorage)) if (key.startsWith(phone.storagePrefix)) localStorage.removeItem(key);
  },
  sent({ url, data: body, header = {}, statusCode }) {
    document.dispatchEvent(new Event('demo:changed'));
    if (statusCode !== 200 || !url.startsWith(`${ext.issuer}/v1/`) || header.Authorization) return;
    addLocalEvents((body.batch ?? [body]).map(localEvent));
  },
};

function localEvent({ messageId, event, name, type, timestamp, properties }) {
  return {
    message_id: messageId,
    type,
    event: event ?? 'screen_viewed',
    channel: 'miniprogram',
    timestamp,
    properties: { name, ...properties },
  };
}

/** The panel believes the mini-program's subject only with its token. */
async function report() {
  const session = JSON.parse(localStorage.getItem(`${phone.storagePrefix}heyi.session`) ?? 'null');
  const access_token = session?.access_token;
  if (reported === (access_token ?? null)) return;
  reported = access_token ?? null;
  await fetch('/panel/miniprogram', {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ csrf: data.csrf, ...(access_token && { access_token }) }),
  }).catch(() => {
    reported = undefined;
  });
  document.dispatchEvent(new Event('demo:changed'));
}

const screen = createScreen($('phone'), {
  back: () => program?.back(),
  tab: (index) => program?.tab(index),
  leave: () => toBackground(),
  enter: () => toForeground(),
});

/** WeChat's sheet for the phone-number button. */
async function askPhoneNumber() {
  const person = holder();
  if (!person?.phone) {
    await screen.sheet({
      title: text('phone.no_number'),
      lead: text('phone.no_number_lead'),
      actions: [['close', text('phone.close')]],
    });
    return { errMsg: 'getPhoneNumber:fail:cancel to bind phone' };
  }
  const choice = await screen.sheet({
    title: text('phone.asks_number'),
    lead: text('phone.asks_number_lead'),
    value: masked(person.phone),
    actions: [
      ['deny', text('phone.deny')],
      ['allow', text('phone.allow')],
    ],
  });
  if (choice !== 'allow') return { errMsg: 'getPhoneNumber:fail user deny' };
  try {
    return { ...(await phone.code('phone-code')), errMsg: 'getPhoneNumber:ok' };
  } catch (error) {
    return { errMsg: `getPhoneNumber:fail ${error.message}` };
  }
}

async function askModal({ title = '', content = '', showCancel = true, confirmText, cancelText }) {
  const actions = [['confirm', confirmText ?? text('phone.confirm')]];
  if (showCancel) actions.unshift(['cancel', cancelText ?? text('phone.cancel')]);
  return (await screen.sheet({ title, lead: content, actions })) === 'confirm';
}

const masked = (number) => number.replace(/^(\+86)?(\d{3})\d+(\d{4})$/, '$2****$3');

function launch(opened) {
  program?.end();
  hiddenAt = 0;
  screen.reset(manifest.app.tabBar.list, holder());
  phone.launchOptions = phone.enterOptions = options(opened);
  program = createMiniProgram({ screen, phone, manifest, ask: { phoneNumber: askPhoneNumber, modal: askModal } });
  program.launch(phone.launchOptions);
  drawControls();
  report();
}

/** WeChat's own scanner, held before the newest code that was made for this mini-program. */
async function scanNewest() {
  fault(new Error(''));
  try {
    const { codes } = await sandbox(`/codes?appid=${appid}`);
    const newest = codes.find(({ kind }) => kind === 'wxacode');
    if (!newest) throw new Error(text('phone.no_code'));
    const { path, query, launch_scene } = await sandbox(`/people/${settings.person_id}/scan`, {
      method: 'POST',
      body: { url: newest.url },
    });
    launch({ path, query, scene: launch_scene });
  } catch (error) {
    fault(error);
  }
}

/** A browser of its own, kept by the demo's server: a frame here would have this browser's cookies and its name. */
async function openWebView(frame, url) {
  frame.title = text('phone.web_view');
  const answer = await fetch('/miniprogram/web-view', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ csrf: data.csrf, url, person_id: settings.person_id }),
  }).catch(() => undefined);
  if (!answer?.ok) {
    frame.srcdoc = `<p>${text('phone.web_view_away')}</p>`;
    return;
  }
  const page = await answer.json();
  frame.onload = () => {
    frame.contentDocument.addEventListener('click', (event) => {
      const link = event.target.closest('a[href], button, summary');
      if (!link) return;
      event.preventDefault();
      if (link.href) openWebView(frame, link.href);
    });
  };
  frame.srcdoc = page.html;
}

function toBackground() {
  if (hiddenAt || !program) return;
  hiddenAt = Date.now();
  program.hide();
  screen.home(true);
  drawControls();
}

function toForeground() {
  if (!program) return launch();
  hiddenAt = 0;
  phone.enterOptions = options();
  screen.home(false);
  program.show(options());
  drawControls();
}

function close() {
  program?.end();
  program = null;
  hiddenAt = 0;
  screen.home(true);
  drawControls();
}

function keepSettings(changes) {
  settings = { ...settings, ...changes };
  localStorage.setItem(settingsKey, JSON.stringify(settings));
}

/** Another person means another phone: what this one's storage held is gone. */
function hand(person_id, opened) {
  if (person_id === settings.person_id && program) return;
  program?.end();
  phone.clearStorage();
  dropLocalEvents('miniprogram');
  keepSettings({ person_id });
  reported = undefined;
  launch(opened);
}

function drawControls() {
  const list = $('people');
  list.replaceChildren(
    ...people.map((person) => {
      const label = document.createElement('label');
      const input = Object.assign(document.createElement('input'), {
        type: 'radio',
        name: 'person',
        value: person.person_id,
        checked: person.person_id === settings.person_id,
      });
      input.addEventListener('change', () => hand(person.person_id));
      const name = Object.assign(document.createElement('strong'), { textContent: person.nickname });
      const number = Object.assign(document.createElement('span'), {
        textContent: person.phone ? masked(person.phone) : text('phone.without_number'),
      });
      label.append(input, name, number);
      return label;
    }),
  );
  $('to-background').disabled = !program || hiddenAt > 0;
  $('to-foreground').disabled = Boolean(program) && hiddenAt === 0;
  $('close-app').disabled = !program;
}

async function loadPeople() {
  ({ people } = await sandbox('/people'));
}

/** The number that was used on the website: if nobody here has it, one tap makes the person who does. */
function offerOwnNumber(number) {
  const offer = $('own-number');
  const known = people.find((person) => person.phone === number);
  offer.hidden = !number || settings.person_id === known?.person_id;
  offer.textContent = `${text(known ? 'phone.take_own' : 'phone.make_own')} ${number ? masked(number) : ''}`;
  offer.onclick = async () => {
    if (!known) await sandbox('/people', { method: 'POST', body: { nickname: text('phone.me'), phone: number } });
    await loadPeople();
    hand(people.find((person) => person.phone === number).person_id);
    offerOwnNumber(number);
  };
}

function notify(message) {
  const isFirst = shownMessage === undefined;
  const isNew = message && message.received_at !== shownMessage;
  shownMessage = message?.received_at ?? '';
  // What had arrived before this page was opened is in the sandbox's inbox.
  if (isFirst || !isNew || message.channel !== 'sms' || message.to !== holder()?.phone) return;
  screen.notify({ title: text('phone.message'), body: message.text, code: message.code });
}

function wireControls() {
  $('scan-newest').addEventListener('click', scanNewest);
  $('phone').shadowRoot.addEventListener('wx-web-view', ({ target, detail }) => openWebView(target, detail));
  $('to-background').addEventListener('click', toBackground);
  $('to-foreground').addEventListener('click', toForeground);
  $('close-app').addEventListener('click', close);
  $('scene').value = String(settings.scene);
  $('scene').addEventListener('change', ({ target }) => keepSettings({ scene: Number(target.value) }));
  $('bound').addEventListener('change', ({ target }) =>
    sandbox(`/apps/${appid}`, { method: 'PUT', body: { open_platform: target.checked ? target.value : null } }).catch(
      fault,
    ),
  );
  $('new-person').addEventListener('submit', async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const number = String(form.get('number')).trim();
    try {
      const body = { nickname: String(form.get('nickname')), ...(number && { phone: number }) };
      const { person_id } = await sandbox('/people', { method: 'POST', body });
      event.target.reset();
      await loadPeople();
      hand(person_id);
    } catch (error) {
      fault(error);
    }
  });
  document.addEventListener('demo:state', ({ detail }) => {
    offerOwnNumber(detail.website.phone_number);
    notify(detail.message);
    // The website's session ended with its sign-out, and with it what it knew of the phone.
    const session = localStorage.getItem(`${phone.storagePrefix}heyi.session`);
    if (Boolean(session) !== Boolean(detail.miniprogram.sub)) {
      reported = undefined;
      report();
    }
  });
}

function fault(error) {
  $('phone-fault').textContent = error.message;
}

function loadCode() {
  return new Promise((resolve, reject) => {
    const script = Object.assign(document.createElement('script'), {
      src: '/miniprogram/code.js',
      onload: resolve,
      onerror: reject,
    });
    document.head.append(script);
  });
}

async function begin() {
  wireControls();
  const [pages, { apps }] = await Promise.all([
    fetch('/miniprogram/pages.json').then((answer) => answer.json()),
    sandbox('/apps'),
    loadPeople(),
    loadCode(),
  ]);
  manifest = pages;
  const bound = apps.find((app) => app.appid === appid)?.open_platform;
  $('bound').checked = Boolean(bound);
  if (bound) $('bound').value = bound;
  const opening = takeOpening();
  const isElse = opening && opening.person_id !== settings.person_id;
  if (isElse && people.some(({ person_id }) => person_id === opening.person_id))
    return hand(opening.person_id, opening.opened);
  if (!holder()) keepSettings({ person_id: people[0]?.person_id ?? '' });
  if (holder()) launch(opening?.opened);
}

begin().catch(() => fault(new Error(text('phone.sandbox_away'))));
