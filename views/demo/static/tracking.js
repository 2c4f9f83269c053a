/**
 * Page and product views by Heyi's own SDK (sdk/web), served by the shop as its sources are. The shop asks for consent itself: before
 * the answer nothing is stored or sent. What is put in the bag is said by attributes of the form (product.eta).
 */
import { data } from './data.js';
import { createHeyi } from './heyi/heyi.js';
import { addLocalEvents, dropLocalEvents } from './local-events.js';

const { profiling, marketing, is_asked } = data.consent;
if (data.is_signed_out) dropLocalEvents('website');

export const heyi = createHeyi({
  issuer: data.issuer,
  writeKey: data.write_key,
  consent: is_asked ? { profiling, marketing } : null,
  // Cookies ignore ports: on this machine the name must be nobody else's.
  cookie: { name: 'shanyu_visitor' },
  onEvent: (event) => data.sub || addLocalEvents([localEvent(event)]),
  ...(data.spa_client_id && {
    signIn: {
      clientId: data.spa_client_id,
      redirectUri: `${data.url}/spa/callback`,
      scope: 'openid profile offline_access',
    },
  }),
});

if (data.product) {
  const { product_id, name, category, price } = data.product;
  heyi.track('product_viewed', { product_id, name, category, price, currency: 'CNY' });
}

function localEvent({ messageId, type, event = 'page_viewed', timestamp, properties }) {
  const { name, title } = properties;
  return { message_id: messageId, type, event, channel: 'website', timestamp, properties: { name, title } };
}
