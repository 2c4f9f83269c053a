/**
 * Between the mini-program and the company's websites, as one person: confirming a sign-in on a computer, opening the website
 * signed in, and joining the account of the website that a link came from.
 */
const { failure } = require('./http.js');

function createSides({ issuer, session, http, clientId }) {
  async function mine(method, path, data) {
    const header = { 'content-type': 'application/json' };
    const answer = await session.request(
      Object.assign({ url: `${issuer}/me${path}`, method, header }, data && { data }),
    );
    if (answer.statusCode >= 200 && answer.statusCode < 300) return answer.data;
    throw failure(answer);
  }

  return {
    /**
     * Which sign-in a scanned code is about. `scene` is that of the page's options. Resolves to { client, host, network,
     * is_same_network, browser, asked_at, state, expires_in }: show it, and let the person decide.
     */
    readSignIn: (scene) => mine('GET', `/sign-ins/${ticketOf(scene)}`),
    /** `decision` is 'confirm' or 'deny'. */
    answerSignIn: (scene, decision) => mine('POST', `/sign-ins/${ticketOf(scene)}`, { decision }),

    /**
     * An address for <web-view src>: opens `url` of the website `client_id`, signed in as this person. Works once, here and now: ask
     * for it when the page opens, never before.
     */
    websiteUrl: async ({ clientId: client_id, url }) => (await mine('POST', '/handovers', { client_id, url })).url,

    /** What onLaunch or onShow was given, when a link of the website opened the mini-program; undefined otherwise. */
    linkTicket: (options) => (options && options.query ? options.query.heyi_link : undefined),
    /** Which website the link is from: { client, expires_in }. Show it, and ask for the four digits that stand on the website. */
    readLink: (ticket) =>
      http.postJson(`${issuer}/me/miniprogram-links/preview`, { client_id: clientId, link_ticket: ticket }),
  };
}

/** WeChat hands the scene over URL-encoded. */
function ticketOf(scene) {
  const ticket = decodeURIComponent(scene || '');
  if (!/^[\w-]{22}$/.test(ticket)) throw Object.assign(new Error('This is no sign-in code.'), { code: 'not_found' });
  return ticket;
}

module.exports = { createSides };
