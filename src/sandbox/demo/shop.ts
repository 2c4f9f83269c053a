/**
 * The shop: products, cart, orders, consent. Views are tracked by the browser (views/demo/static/shop.js); an order is
 * told to Heyi by this back end with the server key, because money counts only from a server.
 */
import Router from '@koa/router';
import type { RequestState } from '../../http/server.ts';
import { type Consent, consentOf, keepConsent } from './consent.ts';
import { ownForm, ownPath } from './forms.ts';
import type { Parts } from './parts.ts';
import { productById, products } from './products.ts';
import type { Order, Session } from './sessions.ts';

export function shopRoutes(parts: Parts): Router<RequestState> {
  const { pages, sessions } = parts;
  const router = new Router<RequestState>();

  router.get('/', (ctx) => pages.render(ctx, 'home', { products }));

  router.get('/products/:id', (ctx, next) => {
    const product = productById(ctx.params.id ?? '');
    if (!product) return next();
    const others = products.filter((other) => other.product_id !== product.product_id).slice(0, 4);
    const name = pages.translator(ctx)(`products.${product.product_id}.name`);
    pages.render(ctx, 'product', { product, others }, { product: { ...product, name } });
  });

  router.get('/cart', (ctx) => pages.render(ctx, 'cart', { lines: cartLines(sessions.of(ctx)) }));

  router.post('/cart', async (ctx) => {
    const session = sessions.of(ctx);
    const form = await ownForm(ctx, session);
    const product = productById(form.product_id ?? '');
    if (product) {
      const quantity = (session.cart[product.product_id] ?? 0) + (form.remove ? -1 : 1);
      if (quantity > 0) session.cart[product.product_id] = Math.min(quantity, 9);
      else delete session.cart[product.product_id];
    }
    sessions.save();
    ctx.status = 303;
    ctx.redirect('/cart');
  });

  router.post('/orders', async (ctx) => {
    const session = sessions.of(ctx);
    const form = await ownForm(ctx, session);
    // Buying one thing now leaves the cart alone.
    const bought = form.product_id ? { [form.product_id]: 1 } : session.cart;
    if (!session.person) {
      if (form.product_id) session.cart[form.product_id] = Math.max(1, session.cart[form.product_id] ?? 0);
      sessions.save();
      ctx.status = 303;
      return ctx.redirect('/sign-in?return=/cart');
    }
    const order = placeOrder(parts, session, bought, consentOf(ctx));
    if (order && !form.product_id) session.cart = {};
    if (order) await report(parts, session, order);
    sessions.save();
    ctx.status = 303;
    ctx.redirect(order ? '/account' : '/cart');
  });

  router.get('/privacy', (ctx) => pages.render(ctx, 'privacy'));

  router.post('/consent', async (ctx) => {
    const form = await ownForm(ctx, sessions.of(ctx));
    const all = form.choice === 'all';
    keepConsent(ctx, {
      profiling: all || form.profiling === 'on',
      marketing: form.choice ? false : form.marketing === 'on',
    });
    ctx.status = 303;
    ctx.redirect(ownPath(form.return));
  });

  return router;
}

function cartLines(session: Session) {
  return Object.entries(session.cart).flatMap(([id, quantity]) => {
    const product = productById(id);
    return product ? [{ ...product, quantity, sum: product.price * quantity }] : [];
  });
}

function placeOrder(
  { clock }: Parts,
  session: Session,
  bought: Record<string, number>,
  { profiling, marketing }: Consent,
): Order | undefined {
  const lines = Object.entries(bought).flatMap(([id, quantity]) => {
    const product = productById(id);
    return product ? [{ id, sum: product.price * quantity }] : [];
  });
  if (lines.length === 0) return undefined;
  const placed_at = clock.now().toISOString();
  const order: Order = {
    order_id: `W${placed_at.replace(/\D/g, '').slice(2, 14)}${crypto.randomUUID().slice(0, 4).toUpperCase()}`,
    product_ids: lines.map((line) => line.id),
    total: lines.reduce((sum, line) => sum + line.sum, 0),
    placed_at,
    consents: { service: true, profiling, marketing },
    is_reported: false,
  };
  session.orders.unshift(order);
  session.orders.length = Math.min(session.orders.length, 20);
  session.notice = 'order.thanks';
  return order;
}

/** The order stands whether or not Heyi hears of it now: what failed is sent again with the account page. */
export async function report({ api, log }: Parts, session: Session, order: Order): Promise<void> {
  const { person } = session;
  if (!person || order.is_reported) return;
  const first = productById(order.product_ids[0] ?? '');
  try {
    await api.send({
      type: 'track',
      event: 'order_paid',
      messageId: `order-${order.order_id}`,
      userId: person.sub,
      timestamp: order.placed_at,
      context: { channel: 'website', consent: { categoryPreferences: order.consents } },
      properties: {
        order_id: order.order_id,
        total: order.total,
        currency: 'CNY',
        ...(first && order.product_ids.length === 1 && { product_id: first.product_id, price: first.price }),
        products: order.product_ids.map((product_id) => ({ product_id, price: productById(product_id)?.price })),
      },
    });
    order.is_reported = true;
  } catch (error) {
    log.warn({ err: error, order_id: order.order_id }, 'order not reported yet');
  }
}
