/**
 * Where this visit came from: WeChat's scene, the campaign, the mini-program that led here, the share that was opened. Of a query
 * only what is listed is kept: there are tickets in it, and other companies' data.
 */
const campaignNames = {
  utm_campaign: 'name',
  utm_source: 'source',
  utm_medium: 'medium',
  utm_term: 'term',
  utm_content: 'content',
};
const shareName = 'heyi_share';
/** WeChat's crawler, and its load tests. */
const machines = ['1129', '1203'];

/** `kept`: names of query parameters that the program wants with its events. */
function createVisit(kept) {
  let visit = {};

  function read(options) {
    const { scene, path, query, referrerInfo } = options || {};
    const values = valuesOf(query);
    const campaign = {};
    for (const name of Object.keys(campaignNames)) if (values[name]) campaign[campaignNames[name]] = values[name];
    const from = referrerInfo && referrerInfo.appId;
    return Object.assign(
      {},
      scene !== undefined && { scene: String(scene) },
      path && { path },
      Object.keys(campaign).length && { campaign },
      from && { referrer: { type: 'miniprogram', id: from } },
      isShareId(values[shareName]) && { share_id: values[shareName] },
      { query: keep(values) },
    );
  }

  function keep(values) {
    const query = {};
    for (const name of kept) if (values[name] !== undefined) query[name] = values[name];
    return query;
  }

  return {
    shareName,
    /** A cold start. */
    begin(options) {
      visit = read(options);
    },
    /**
     * A return. By another campaign or share it is another visit; one that says neither goes on with those before, whose query WeChat
     * may hand over once more.
     */
    resume(options) {
      const next = read(options);
      const isOther = ['campaign', 'share_id'].some(
        (name) => next[name] && JSON.stringify(next[name]) !== JSON.stringify(visit[name]),
      );
      visit = isOther ? next : Object.assign({}, visit, next);
    },
    /** Properties of the event that tells of the entrance. */
    properties: () => without(visit, ['campaign', 'referrer']),
    /** What every event of it carries. */
    context: () => without(visit, ['path', 'query']),
    shareId: () => visit.share_id,
    isMachine: () => machines.indexOf(visit.scene) >= 0,
    /** What is kept of a page's query. */
    queryOf: (query) => keep(valuesOf(query)),
  };
}

/**
 * The parameters, and those inside the two that hold others: `scene` of a mini-program code and `q`, the address of an ordinary QR
 * code. WeChat hands all of them over as they stand in the address.
 */
function valuesOf(query) {
  const values = {};
  const plain = query || {};
  for (const name of Object.keys(plain)) values[name] = decoded(String(plain[name]));
  const inside = [values.scene, values.q && values.q.split('?')[1]];
  for (const text of inside) {
    for (const pair of String(text || '')
      .split('#')[0]
      .split('&')) {
      const at = pair.indexOf('=');
      const name = pair.slice(0, at);
      if (at > 0 && values[name] === undefined) values[name] = decoded(pair.slice(at + 1));
    }
  }
  return values;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch (_) {
    return text;
  }
}

const isShareId = (value) => /^sh-[0-9a-f]{32}$/.test(value || '');

function without(value, names) {
  const rest = {};
  for (const name of Object.keys(value)) if (names.indexOf(name) < 0) rest[name] = value[name];
  return rest;
}

module.exports = { createVisit };
