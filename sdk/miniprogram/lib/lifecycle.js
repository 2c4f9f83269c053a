/**
 * Tracking without a line in every page: what App and Page are given, with our part before the program's own. Share functions are
 * wrapped only where they are, since a page that has one is a page that can be shared.
 */
function createLifecycle({ platform, tracker, session }) {
  /** Our part first, then theirs, whose answer is the answer. */
  function before(own, ours) {
    return function wrapped(...values) {
      ours.apply(this, values);
      return own ? own.apply(this, values) : undefined;
    };
  }

  function launch(options) {
    tracker.launch(options);
    session.settle();
  }

  /** For App(heyi.app({ … })). */
  function app(options = {}) {
    return Object.assign({}, options, {
      onLaunch: before(options.onLaunch, launch),
      onShow: before(options.onShow, tracker.show),
      onHide: before(options.onHide, tracker.hide),
    });
  }

  /** For Page(heyi.page({ … }, { title, properties })), and for Component() where that makes a page. */
  function page(options = {}, about = {}) {
    const isComponent = Boolean(options.methods) && !options.onShow && !options.onLoad;
    const own = isComponent ? options.methods : options;
    const wrapped = Object.assign({}, own, {
      onShow: before(own.onShow, function shown() {
        tracker.screen(about.name, Object.assign({}, about.title && { title: about.title }, about.properties));
      }),
    });
    if (own.onShareAppMessage)
      wrapped.onShareAppMessage = function forwarded(event) {
        return shareMessage(own.onShareAppMessage.call(this, event), event);
      };
    if (own.onShareTimeline)
      wrapped.onShareTimeline = function posted() {
        return shareTimeline(own.onShareTimeline.call(this));
      };
    return isComponent ? Object.assign({}, options, { methods: wrapped }) : wrapped;
  }

  /** What onShareAppMessage returns, with the share's id in its path. Its `promise` may bring another content: same share. */
  function shareMessage(content, event) {
    const here = addressHere();
    const path = (content && content.path) || here;
    const mark = tracker.shared('message', path.split('?')[0], event && event.from);
    const marked = (given) => Object.assign({}, given, { path: joined((given && given.path) || here, mark) });
    const result = marked(content);
    if (content && content.promise) result.promise = content.promise.then(marked);
    return result;
  }

  /** What onShareTimeline returns; its query is all that Moments carry. */
  function shareTimeline(content) {
    const mark = tracker.shared('moments', addressHere().split('?')[0]);
    const query = content && content.query;
    return Object.assign({}, content, { query: query ? `${query}&${mark}` : mark });
  }

  function addressHere() {
    const { route = '', options = {} } = platform.page() || {};
    // A share that was opened is not passed on as this one.
    const pairs = Object.keys(options)
      .filter((name) => name !== 'heyi_share')
      .map((name) => `${name}=${options[name]}`);
    return `/${route}${pairs.length ? `?${pairs.join('&')}` : ''}`;
  }

  return { launch, app, page, shareMessage, shareTimeline };
}

const joined = (path, mark) => `${path}${path.indexOf('?') < 0 ? '?' : '&'}${mark}`;

module.exports = { createLifecycle };
