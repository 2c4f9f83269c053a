/**
 * What a page records by itself: views, of loads and of a single-page application's routes, and what is clicked or sent off where the
 * markup says so:
 *
 *   <a href="/p/1" data-heyi-event="product_clicked" data-heyi-product-id="P-1">      { product_id: 'P-1' }
 *   <form data-heyi-event="form_submitted" data-heyi-form="newsletter">
 *
 * @import { Properties } from '../types.d.ts'
 */
/** @param {{ page: () => void, move: () => void }} calls   move: the address changed without a load */
export function watchPages({ page, move }) {
  const view = () => {
    // A page that the browser renders ahead may never be looked at.
    if ('prerendering' in document && document.prerendering)
      document.addEventListener('prerenderingchange', () => page(), { once: true });
    else page();
  };
  let route = routeOf();
  const check = () => {
    if (routeOf() === route) return;
    route = routeOf();
    move();
    // The application draws the route, and sets its title, first.
    setTimeout(page, 50);
  };
  for (const name of /** @type {const} */ (['pushState', 'replaceState'])) {
    const native = history[name];
    history[name] = function (...values) {
      native.apply(this, values);
      check();
    };
  }
  addEventListener('popstate', check);
  addEventListener('hashchange', check);
  // Back from the browser's cache, which is no load.
  addEventListener('pageshow', (event) => event.persisted && page());
  view();
}

/** Query and anchor do not make another page. */
const routeOf = () => location.pathname + (/^#!?\//.test(location.hash) ? location.hash : '');

/** @param {(event: string, properties: Properties) => void} track */
export function watchClicks(track) {
  const watch = (/** @type {'click' | 'submit'} */ type) =>
    addEventListener(
      type,
      ({ target }) => {
        const found = target instanceof Element && target.closest('[data-heyi-event]');
        if (!(found instanceof HTMLElement) || (found.tagName === 'FORM') !== (type === 'submit')) return;
        const { heyiEvent, ...data } = found.dataset;
        /** @type {Properties} */
        const properties = {};
        for (const [name, value] of Object.entries(data))
          if (/^heyi[A-Z]/.test(name)) properties[snakeCase(name.slice(4))] = value;
        if (heyiEvent) track(heyiEvent, properties);
      },
      // Before the page's own listeners, which may stop the event.
      true,
    );
  watch('click');
  watch('submit');
}

/** @param {string} name */
const snakeCase = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`).slice(1);
