/**
 * Takes the queue to Heyi, one batch at a time. An event is done with when Heyi says that it has it, or that it never will; whatever
 * else comes back (no line, 5xx, 429, a stranger's page) keeps it.
 */
const { retryAfter } = require('./http.js');

const limits = { events: 50, bytes: 200 * 1024, soonMs: 1000, manyEvents: 20, slowestMs: 60000 };
/** Answers that say: never, whoever asks and whenever. */
const hopeless = [400, 413, 422];

function createDelivery({ issuer, writeKey, http, session, queue }) {
  let timer = null;
  let sending = null;
  let failures = 0;
  let notBefore = 0;
  let isHidden = false;
  /** Halved while Heyi refuses a batch, until the event that is to blame stands alone. */
  let most = limits.events;

  /** Sets the next try; one that is set already and comes sooner stays. */
  function later(ms) {
    if (timer) return;
    timer = setTimeout(flush, Math.max(ms, notBefore - Date.now()));
  }

  /** Never rejects. */
  function flush() {
    clearTimeout(timer);
    timer = null;
    if (!sending) {
      const done = () => {
        sending = null;
      };
      sending = drain();
      sending.then(done, done);
    }
    return sending;
  }

  async function drain() {
    while (queue.length) {
      if (notBefore > Date.now()) {
        later(0);
        return;
      }
      const batch = queue.take(most, limits.bytes);
      const outcome = await offer(batch);
      if (outcome === 'waits') return;
      if (outcome === 'failed') {
        failures++;
        // Phones that lost Heyi together do not come back together.
        later(Math.min(1000 * 2 ** failures, limits.slowestMs) * (0.5 + Math.random() / 2));
        return;
      }
      failures = 0;
      if (outcome === 'refused' && batch.length > 1) {
        most = Math.ceil(batch.length / 2);
        continue;
      }
      if (outcome === 'refused')
        console.warn(`heyi: an event was refused: ${batch[0].event.event || batch[0].event.name}`);
      most = limits.events;
      queue.remove(batch);
    }
  }

  /** 'done', 'refused' for good, 'failed' for now, 'waits' until the program is in front again. */
  async function offer(batch) {
    const { sub } = batch[0];
    const person = session.person();
    const asPerson = Boolean(sub && person && person.sub === sub);
    // The background lasts five seconds: a renewal that is cut there may cost the sign-in.
    if (asPerson && isHidden && !session.isFresh()) return 'waits';
    const body = { batch: batch.map((item) => item.event), sentAt: new Date().toISOString() };
    const request = { url: `${issuer}/v1/batch`, method: 'POST', header: { 'content-type': 'application/json' } };
    try {
      const answer = asPerson
        ? await session.request(Object.assign(request, { data: body }))
        : await http.send(Object.assign(request, { data: Object.assign({ writeKey }, body) }));
      return outcomeOf(answer);
    } catch (error) {
      // The sign-in ended: what was done under it goes with its anonymous id.
      if (error.code === 'signed_out') return offer(batch);
      return 'failed';
    }
  }

  function outcomeOf(answer) {
    const { statusCode, data } = answer;
    if (statusCode === 200 && data && data.success === true) {
      for (const { message_id, message } of data.rejected || [])
        console.warn(`heyi: event ${message_id} was refused: ${message}`);
      return 'done';
    }
    if (hopeless.indexOf(statusCode) >= 0) return 'refused';
    if (statusCode < 500 && statusCode !== 429)
      console.warn(`heyi: events wait, ${issuer}/v1/batch answered ${statusCode}`);
    notBefore = Date.now() + (retryAfter(answer) || 0) * 1000;
    return 'failed';
  }

  return {
    flush,
    /** Something was added to the queue. */
    wake() {
      if (queue.length >= limits.manyEvents && !failures) flush();
      else later(limits.soonMs);
    },
    hide() {
      isHidden = true;
      flush();
    },
    show() {
      isHidden = false;
      if (queue.length) later(limits.soonMs);
    },
    /** The line is back: there is no sense in waiting out the old failure. */
    online() {
      failures = 0;
      if (queue.length) flush();
    },
  };
}

module.exports = { createDelivery };
