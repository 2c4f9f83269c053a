/**
 * Heyi in a website: tracking with a queue that survives reloads, behind the visitor's consent, and sign-in for pages without a server.
 * Loads nothing, and needs nothing of the page but `connect-src <issuer>` in its Content-Security-Policy.
 *
 *   heyi.js       this file: what happens when, over all parts
 *   automatic     page views and clicks → context, visitor: where and by whom → queue → sender
 *   consent       decides what may be stored and sent; session: who is signed in; mirror: other vendors' scripts
 */
import { watchClicks, watchPages } from './automatic.js';
import { createConsent } from './consent.js';
import { createContext } from './context.js';
import { createMirror } from './mirror.js';
import { createQueue, place } from './queue.js';
import { byteLength, createSender } from './sender.js';
import { createSession } from './session.js';
import { createStorage, randomHex } from './storage.js';
import { createVisitor } from './visitor.js';

const eventBytes = 32_000;

/** @type {typeof import('../types.d.ts').createHeyi} */
export function createHeyi(options) {
  const { writeKey, channel = 'website', pages = true, clicks = true, maxQueueBytes = 2_000_000 } = options;
  const issuer = options.issuer.replace(/\/$/, '');
  const consent = createConsent(options);
  const storage = createStorage(consent.mayKeep);
  const where = createContext({ channel, preferences: consent.preferences });
  const visitor = createVisitor({ consent, cookie: options.cookie });
  const session = createSession({ issuer, client: options.signIn, grantParameters });
  const queue = createQueue({ storage, maxBytes: maxQueueBytes });
  const sender = createSender({ issuer, writeKey, queue, session, storage, maySend: consent.mayCollect });
  const mirror = options.mirror && createMirror({ ...options.mirror, mayMirror: consent.has });
  /** The page was there before the choice: it is recorded when that is made, under what was chosen. */
  let isViewPending = false;

  /** What was done before joins the person, when they agreed to be recognised. @returns {Record<string, string>} */
  function grantParameters() {
    if (!consent.mayKeep()) return {};
    return { anonymous_id: visitor.id() ?? '', consents: consent.parameter() };
  }

  /** @param {Record<string, unknown> & { messageId?: string }} event */
  function record(event) {
    const sub = session.person()?.sub;
    const complete = {
      ...event,
      messageId: event.messageId ?? `web-${randomHex()}`,
      timestamp: new Date().toISOString(),
      anonymousId: visitor.id(),
      context: where.context(),
    };
    if (byteLength(JSON.stringify(complete)) > eventBytes) {
      queue.refuse(1);
      console.warn(`heyi: an event of more than ${eventBytes} bytes was not recorded`);
      return;
    }
    sender.send({ sub, event: complete });
    options.onEvent?.(complete);
  }

  /** @type {import('../types.d.ts').Heyi['page']} */
  function page(name, properties) {
    isViewPending = !consent.mayCollect();
    if (!isViewPending) record({ type: 'page', name, properties: { ...where.page(), ...properties } });
  }

  /** @type {import('../types.d.ts').Heyi['track']} */
  function track(event, properties = {}, messageId) {
    if (!consent.mayCollect()) return;
    record({ type: 'track', event, properties, messageId });
    mirror?.track(event, properties, session.person()?.sub);
  }

  /** @type {import('../types.d.ts').Heyi['setConsent']} */
  function setConsent(choice) {
    const hadAgreed = consent.set(choice);
    if (choice) queue.restrict(consent.has);
    else queue.clear();
    if (!consent.mayKeep() && (hadAgreed || !choice)) {
      storage.evict(place);
      visitor.forget();
    }
    visitor.renew();
    if (isViewPending && consent.mayCollect()) page();
    sender.retry();
  }

  if (options.consent !== undefined) setConsent(options.consent);
  if (pages) watchPages({ page, move: where.move });
  if (clicks) watchClicks(track);
  // Phones say nothing more than that the page is hidden; pagehide is for a page that closes in front.
  document.addEventListener('visibilitychange', () => document.visibilityState === 'hidden' && sender.leave());
  addEventListener('pagehide', sender.leave);
  addEventListener('online', sender.retry);
  // What an earlier page left.
  sender.retry();

  return {
    page,
    track,
    setConsent,
    consent: consent.choice,
    anonymousId: visitor.id,
    flush: sender.flush,
    status: queue.status,
    reset: visitor.forget,
    person: session.person,
    onChange: session.onChange,
    accessToken: session.accessToken,
    fetch: session.fetch,
    signIn: session.signIn,
    finishSignIn: session.finishSignIn,
    async signOut({ redirect = true } = {}) {
      // While the token is there; what cannot be sent now goes under the anonymous id later.
      await Promise.race([sender.flush(), new Promise((resolve) => setTimeout(resolve, 2000))]);
      const url = await session.end();
      visitor.forget();
      if (url && redirect) location.assign(url);
    },
  };
}
