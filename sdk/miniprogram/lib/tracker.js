/**
 * What the person does, as events: made when they may be, stamped with who was signed in, what was agreed to and where the visit
 * came from, and handed to the queue. Before sign-in they go under an anonymous id with the write key, after it under the person's
 * token. A repeat keeps its message id, so it is stored once.
 */
const { createDelivery } = require('./delivery.js');
const { byteLength, createQueue } = require('./queue.js');
const { createVisit } = require('./visit.js');
const { version } = require('./version.js');

const anonymousKey = 'heyi.anonymous_id';
/** Heyi takes no larger one. */
const eventBytes = 32 * 1024;

function createTracker({ issuer, writeKey, channel, queueBytes, query, http, session, platform, privacy }) {
  const queue = createQueue({ platform, limit: queueBytes });
  const delivery = createDelivery({ issuer, writeKey, http, session, queue });
  const visit = createVisit(query);
  platform.makeRoom = queue.shed;
  let isHidden = false;
  let opening = null;
  let shown;

  /** Undefined while nothing may be collected. */
  function anonymousId() {
    if (!privacy.isOpen()) return undefined;
    let id = platform.read(anonymousKey);
    if (!id) {
      id = platform.id('mp-');
      platform.write(anonymousKey, id);
    }
    return id;
  }

  /** Stamped now, kept when that is allowed. Never throws: the program goes on whatever is wrong with an event. */
  function add(type, name, properties, messageId) {
    if (!writeKey || visit.isMachine()) return;
    const given = copyOf(properties);
    if (!given) {
      console.warn(`heyi: ${name} has properties that are no data, and is not recorded`);
      return;
    }
    const person = session.person();
    const event = Object.assign(
      { type, timestamp: new Date().toISOString() },
      person && { userId: person.sub },
      type === 'track' ? { event: name } : { name },
      { properties: given, context: context() },
    );
    privacy.when(() => {
      Object.assign(event, { messageId: messageId || platform.id('mp-'), anonymousId: anonymousId() });
      if (byteLength(JSON.stringify(event)) > eventBytes) {
        console.warn(`heyi: ${name} is larger than 32 KB, and is not recorded`);
        return;
      }
      queue.add({ sub: person ? person.sub : undefined, event });
      delivery.wake();
    });
  }

  function context() {
    const app = platform.application();
    return Object.assign(
      {
        channel,
        library: { name: '@heyi/miniprogram', version },
        consent: { categoryPreferences: Object.assign({}, privacy.consent(), { service: true }) },
      },
      Object.keys(app).length && { app },
      visit.context(),
    );
  }

  /** A visit that nothing may be kept of yet is told of when the person agrees, as of that moment. */
  function opened() {
    const properties = visit.properties();
    add('track', 'app_opened', properties);
    opening = properties;
    privacy.ask().then((isOpen) => {
      if (isOpen) opening = null;
    });
  }
  privacy.onOpen(() => {
    if (opening) add('track', 'app_opened', opening);
    opening = null;
  });

  /** An id that goes along with what is shared, and comes back with whoever opens it. It names nobody. */
  function shared(method, path, from) {
    const id = platform.id('sh-');
    const parent = visit.shareId();
    add(
      'track',
      'shared',
      Object.assign({ method, path, share_id: id }, from && { from }, parent && { parent_share_id: parent }),
    );
    return `${visit.shareName}=${id}`;
  }

  platform.on('onNetworkStatusChange', ({ isConnected }) => {
    if (isConnected && !isHidden) delivery.online();
  });

  return {
    anonymousId,
    /** Resolves when what may be sent was offered once; never rejects. */
    flush: () => privacy.ask().then(delivery.flush),
    /** `messageId` makes a repeat of the same thing harmless: an order's number, say. */
    track: (name, properties, messageId) => add('track', name, properties, messageId),
    /** Without a name: the page on the screen. */
    screen(name, properties) {
      const page = platform.page() || {};
      const path = page.route;
      const own = visit.queryOf(page.options);
      const referrer = shown;
      shown = path || name;
      add(
        'screen',
        name || path,
        Object.assign(
          {},
          path && { path },
          referrer && referrer !== shown && { referrer },
          Object.keys(own).length && { query: own },
          properties,
        ),
      );
    },
    shared,
    /** Whoever comes next is somebody else. */
    reset: () => platform.remove(anonymousKey),
    /** The person wants nothing collected: what waits is not sent either. */
    forget() {
      queue.clear();
      platform.remove(anonymousKey);
    },
    launch(options) {
      visit.begin(options);
      opened();
    },
    show(options) {
      delivery.show();
      // The first one belongs to the launch.
      if (!isHidden) return;
      isHidden = false;
      visit.resume(options);
      add('track', 'app_shown', visit.properties());
    },
    /** Five seconds are left before WeChat stops the mini-program's requests. */
    hide() {
      isHidden = true;
      delivery.hide();
    },
  };
}

/** As it is now, and as JSON has it; undefined when JSON has no form for it. */
function copyOf(properties) {
  try {
    return Object.assign({}, JSON.parse(JSON.stringify(properties || {})));
  } catch (_) {
    return undefined;
  }
}

module.exports = { createTracker };
