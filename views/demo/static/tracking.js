/**
 * Page and product views through Segment's own library, unmodified: only its address points at Heyi. Each event says what
 * the visitor agreed to. Runs before /assets/analytics.js, which takes over the queue that is made here.
 */
(() => {
  const data = JSON.parse(document.getElementById('page-data').textContent);

  // Segment's loading snippet, without the part that would fetch the library from elsewhere.
  const analytics = [];
  window.analytics = analytics;
  for (const method of ['track', 'page', 'identify', 'reset', 'ready', 'on', 'addSourceMiddleware']) {
    analytics[method] = (...values) => {
      (Array.isArray(window.analytics) ? analytics : []).push([method, ...values]);
      return analytics;
    };
  }
  analytics._writeKey = data.write_key;
  analytics._cdn = data.issuer;
  // Sent even while the next page loads.
  analytics._loadOptions = {
    integrations: { 'Segment.io': { deliveryStrategy: { strategy: 'standard', config: { keepalive: true } } } },
  };

  analytics.addSourceMiddleware(({ payload, next }) => {
    const { is_asked: _, ...purposes } = data.consent;
    payload.obj.context = {
      ...payload.obj.context,
      channel: 'website',
      consent: { categoryPreferences: { service: true, ...purposes } },
    };
    if (!data.sub) remember(payload.obj);
    next(payload);
  });

  async function remember({ messageId, type, event, timestamp, properties }) {
    const { addLocalEvents } = await import('/assets/local-events.js');
    addLocalEvents([
      {
        message_id: messageId,
        type,
        event: event ?? 'page_viewed',
        channel: 'website',
        timestamp,
        properties: { name: properties?.name, title: properties?.title },
      },
    ]);
  }

  if (data.is_signed_out) {
    // A shared computer: whoever comes next is somebody else.
    analytics.reset();
    import('/assets/local-events.js').then(({ dropLocalEvents }) => dropLocalEvents('website'));
    return;
  }
  analytics.page();
  if (data.product) analytics.track('product_viewed', described(data.product));
  document.addEventListener('submit', ({ target }) => {
    if (target.matches('[data-track="cart_added"]')) window.analytics.track('cart_added', described(data.product));
  });

  function described({ product_id, name, category, price }) {
    return { product_id, name, category, price, currency: 'CNY' };
  }
})();
