/**
 * Tracking with a queue in storage: an event is forgotten only when Heyi has it. Before sign-in events go under an anonymous
 * id with the write key, after it under the person's token. A repeat keeps its message id, so it is stored once.
 */
const keys = { queue: 'heyi.queue', anonymous: 'heyi.anonymous_id', consent: 'heyi.consent' };
const limits = { queue: 300, batch: 50, soonMs: 400, slowestMs: 60000 };

function createTracker({ issuer, writeKey, channel, http, session }) {
  const random = createRandom();
  let queue = wx.getStorageSync(keys.queue) || [];
  let timer = null;
  let sending = null;
  let failures = 0;
  let scene;

  function anonymousId() {
    let id = wx.getStorageSync(keys.anonymous);
    if (!id) {
      id = random.id();
      wx.setStorageSync(keys.anonymous, id);
    }
    return id;
  }

  function consent() {
    return Object.assign({ profiling: false, marketing: false }, wx.getStorageSync(keys.consent));
  }

  function add(type, name, properties = {}, messageId) {
    const person = session.person();
    const event = Object.assign(
      { type, messageId: messageId || random.id(), timestamp: new Date().toISOString(), anonymousId: anonymousId() },
      type === 'track' ? { event: name } : { name },
      { properties, context: context() },
    );
    queue.push({ sub: person?.sub, event });
    // The oldest go first when a phone was offline for very long.
    if (queue.length > limits.queue) queue = queue.slice(-limits.queue);
    wx.setStorageSync(keys.queue, queue);
    later(limits.soonMs);
  }

  function context() {
    return Object.assign(
      {
        channel,
        library: { name: 'heyi-miniprogram', version: '1' },
        consent: { categoryPreferences: Object.assign({ service: true }, consent()) },
      },
      scene && { scene },
    );
  }

  function later(ms) {
    if (!timer) timer = setTimeout(flush, ms);
  }

  /** Resolves when the queue was offered once; never rejects. */
  function flush() {
    clearTimeout(timer);
    timer = null;
    if (!sending) {
      sending = drain().then(() => {
        sending = null;
      });
    }
    return sending;
  }

  async function drain() {
    while (queue.length) {
      const { sub } = queue[0];
      const batch = [];
      for (const item of queue) {
        if (item.sub !== sub || batch.length === limits.batch) break;
        batch.push(item);
      }
      if (!(await offer(batch, sub))) {
        failures++;
        later(Math.min(1000 * 2 ** failures, limits.slowestMs));
        return;
      }
      failures = 0;
      queue = queue.filter((item) => !batch.includes(item));
      wx.setStorageSync(keys.queue, queue);
    }
  }

  /** Whether the batch is done with: stored, or refused for good. */
  async function offer(batch, sub) {
    const person = session.person();
    const asPerson = Boolean(sub && person && person.sub === sub);
    const body = { batch: batch.map((item) => item.event), sentAt: new Date().toISOString() };
    const request = { url: `${issuer}/v1/batch`, method: 'POST', header: { 'content-type': 'application/json' } };
    try {
      const answer = asPerson
        ? await session.request(Object.assign(request, { data: body }))
        : await http.send(Object.assign(request, { data: Object.assign({ writeKey }, body) }));
      return answer.statusCode < 500 && answer.statusCode !== 429 && answer.statusCode !== 408;
    } catch {
      return false;
    }
  }

  return {
    anonymousId,
    consent,
    flush,
    /** `messageId` makes a repeat of the same thing harmless: an order's number, say. */
    track: (name, properties, messageId) => add('track', name, properties, messageId),
    screen: (name, properties) => add('screen', name, properties),
    setConsent(given) {
      wx.setStorageSync(keys.consent, Object.assign(consent(), given));
    },
    reset() {
      wx.removeStorageSync(keys.anonymous);
    },
    launch(options) {
      scene = options?.scene;
      add('track', 'app_opened', { scene, path: options?.path });
    },
    show(options) {
      scene = options?.scene || scene;
      if (queue.length) later(limits.soonMs);
    },
    /** Five seconds are left before WeChat stops the mini-program's requests. */
    hide() {
      flush();
    },
  };
}

/**
 * Ids from WeChat's random source, which answers later: bytes are kept ready and mixed with Math.random, so that the
 * first id of a launch need not wait.
 */
function createRandom() {
  let pool = [];
  function refill() {
    if (!wx.getRandomValues) return;
    wx.getRandomValues({
      length: 256,
      success: ({ randomValues }) => {
        pool = Array.from(new Uint8Array(randomValues));
      },
    });
  }
  refill();
  return {
    id() {
      if (pool.length < 32) refill();
      let text = '';
      for (let i = 0; i < 16; i++) {
        const byte = ((pool.pop() || 0) ^ Math.floor(Math.random() * 256)) & 255;
        text += (byte < 16 ? '0' : '') + byte.toString(16);
      }
      return `mp-${text}`;
    },
  };
}

module.exports = { createTracker };
