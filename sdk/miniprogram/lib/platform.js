/**
 * What the SDK asks of the phone: `wx`, or an object with the same calls, as Taro and uni-app have one. Their calls differ in that
 * they also return a promise, whose failure nobody waits for.
 */

/** The object, or `wx` where none is given. */
function createPlatform(given) {
  const host = given || (typeof wx === 'undefined' ? undefined : wx);
  if (!host) throw new Error('heyi: there is no wx here; give createHeyi a platform');
  const random = createRandom(call);

  function has(name) {
    return typeof host[name] === 'function';
  }

  /** Rejects with what the phone says, { errMsg, errno }. */
  function call(name, options) {
    return new Promise((resolve, reject) => {
      if (!has(name)) {
        reject({ errMsg: `${name}:fail not supported` });
        return;
      }
      const returned = host[name](Object.assign({}, options, { success: resolve, fail: reject }));
      if (returned && typeof returned.catch === 'function') returned.catch(() => {});
    });
  }

  /** A failing storage is as good as an empty one: nothing here may stop the program. */
  function attempt(work, otherwise) {
    try {
      return work();
    } catch (_) {
      return otherwise;
    }
  }

  const platform = {
    has,
    call,
    /** Gives up something kept, and says whether it did: called when what matters more finds no room. */
    makeRoom: () => false,
    read(key) {
      const value = attempt(() => host.getStorageSync(key), undefined);
      return value === '' || value === null ? undefined : value;
    },
    /** Whether it is kept. `matters`: other things are given up for it. */
    write(key, value, matters) {
      const put = () => {
        host.setStorageSync(key, value);
        return true;
      };
      let isKept = attempt(put, false);
      while (!isKept && matters && platform.makeRoom()) isKept = attempt(put, false);
      return isKept;
    },
    remove(key) {
      attempt(() => host.removeStorageSync(key));
    },
    on(name, listener) {
      if (has(name)) host[name](listener);
    },
    /** { version, env } of the mini-program; a version under development has no number. */
    application() {
      const info = has('getAccountInfoSync') ? attempt(() => host.getAccountInfoSync(), undefined) : undefined;
      const { version, envVersion } = (info && info.miniProgram) || {};
      return Object.assign({}, version && { version }, envVersion && { env: envVersion });
    },
    /** The page on the screen: { route, options }. */
    page() {
      const pages = has('getCurrentPages')
        ? host.getCurrentPages()
        : typeof getCurrentPages === 'function'
          ? getCurrentPages()
          : [];
      return pages[pages.length - 1];
    },
    id: random.id,
    secret: random.secret,
  };
  return platform;
}

/**
 * Ids from WeChat's random source, which answers later: bytes are kept ready and mixed with Math.random, so that the first id of a
 * launch need not wait.
 */
function createRandom(call) {
  let pool = [];
  const bytes = (length) =>
    call('getRandomValues', { length }).then(
      ({ randomValues }) => Array.from(new Uint8Array(randomValues)),
      () => [],
    );
  function refill() {
    bytes(256).then((fresh) => {
      pool = fresh;
    });
  }
  refill();
  function hex(source) {
    let text = '';
    for (let i = 0; i < 16; i++) {
      const byte = ((source.pop() || 0) ^ Math.floor(Math.random() * 256)) & 255;
      text += (byte < 16 ? '0' : '') + byte.toString(16);
    }
    return text;
  }
  return {
    id(prefix) {
      if (pool.length < 32) refill();
      return prefix + hex(pool);
    },
    /** What nobody may guess waits for the random source. */
    secret: (prefix) => bytes(16).then((fresh) => prefix + hex(fresh)),
  };
}

module.exports = { createPlatform };
