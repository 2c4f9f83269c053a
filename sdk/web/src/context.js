/**
 * Where an event happened. Addresses lose what must not be stored: codes and tokens of a sign-in, names of fields that hold somebody's
 * phone or e-mail, and fragments that are not routes.
 */

/** Raised with package.json; a test compares them. */
export const version = '0.1.0';

const secret = /^(\w*(token|ticket|password|secret)|heyi_\w+|phone|mobile|tel|e?mail)$/i;
const answer = ['code', 'state', 'iss', 'error', 'error_description', 'session_state'];

/** @param {string} text */
function clean(text) {
  try {
    const url = new URL(text);
    const { searchParams: query } = url;
    const isAnswer = query.has('state') && (query.has('code') || query.has('error'));
    for (const name of [...query.keys()])
      if (secret.test(name) || (isAnswer && answer.includes(name))) query.delete(name);
    if (!/^#!?\//.test(url.hash)) url.hash = '';
    return url;
  } catch {
    return undefined;
  }
}

const campaignNames = { source: 'source', medium: 'medium', campaign: 'name', term: 'term', content: 'content' };

function campaign() {
  const query = new URLSearchParams(location.search);
  /** @type {Record<string, string>} */
  const found = {};
  for (const [parameter, name] of Object.entries(campaignNames)) {
    const value = query.get(`utm_${parameter}`);
    if (value) found[name] = value.slice(0, 200);
  }
  return Object.keys(found).length ? found : undefined;
}

/** @param {{ channel: string, preferences: () => Record<string, boolean> }} options */
export function createContext({ channel, preferences }) {
  /** The page before this one, within a single-page application too. */
  let referrer = document.referrer;
  let here = location.href;

  const page = () => {
    const url = clean(location.href);
    return {
      url: url?.href,
      path: url?.pathname,
      search: url?.search,
      title: document.title,
      referrer: clean(referrer)?.href,
    };
  };

  return {
    page,
    /** The address changed without a load. */
    move() {
      referrer = here;
      here = location.href;
    },
    context: () => ({
      channel,
      page: page(),
      campaign: campaign(),
      locale: navigator.language,
      timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
      screen: { width: screen.width, height: screen.height, density: devicePixelRatio },
      userAgent: navigator.userAgent,
      library: { name: '@heyi/web', version },
      consent: { categoryPreferences: preferences() },
    }),
  };
}
