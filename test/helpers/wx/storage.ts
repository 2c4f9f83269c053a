/** One WeChat user's storage for one mini-program: 1 MB a key, 10 MB together, values as JSON leaves them. It outlives the process. */
import { asyncCall, type Callbacks, type Process, typeName, WxError } from './process.ts';

const keyLimit = 1024 * 1024;
const totalLimit = 10 * 1024 * 1024;

type KeyCall<T = object> = Callbacks<T> & { key: string; data?: unknown };

export function createStorage(process: Process, kept: Map<string, string>) {
  const sizeOf = (key: string, text: string) => Buffer.byteLength(key) + Buffer.byteLength(text);
  const total = () => [...kept].reduce((sum, [key, text]) => sum + sizeOf(key, text), 0);

  function write(key: unknown, data: unknown): void {
    if (typeof key !== 'string')
      throw new WxError(`parameter error: parameter.key should be String instead of ${typeName(key)};`);
    // JSON has no undefined: the phone keeps an empty string.
    const text = JSON.stringify(data) ?? '""';
    if (sizeOf(key, text) > keyLimit) throw new WxError('entry size limit reached');
    if (total() - sizeOf(key, kept.get(key) ?? '') + sizeOf(key, text) > totalLimit)
      throw new WxError('exceed storage max size 10Mb');
    if (process.state() !== 'ended') kept.set(key, text);
  }
  function read(key: string): unknown {
    const text = kept.get(key);
    return text === undefined ? undefined : process.own(JSON.parse(text));
  }
  const remove = (key: string) => {
    if (process.state() !== 'ended') kept.delete(key);
  };
  const clear = () => {
    if (process.state() !== 'ended') kept.clear();
  };
  const info = () => ({
    keys: [...kept.keys()],
    currentSize: Math.ceil(total() / 1024),
    limitSize: totalLimit / 1024,
  });
  /** The synchronous form throws what the other tells. */
  const sync = <T>(name: string, work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw error instanceof WxError ? new WxError(`${name}:fail ${error.message}`, error.errno) : error;
    }
  };

  return {
    getStorageSync: (key: string) => read(key) ?? '',
    setStorageSync: (key: string, data: unknown) => sync('setStorageSync', () => write(key, data)),
    removeStorageSync: (key: string) => remove(key),
    clearStorageSync: () => clear(),
    getStorageInfoSync: () => process.own(info()),
    getStorage: (options: KeyCall<{ data: unknown }>) =>
      asyncCall(process, 'getStorage', options, () => {
        if (!kept.has(options.key)) throw new WxError('data not found');
        return { data: read(options.key) };
      }),
    setStorage: (options: KeyCall) =>
      asyncCall(process, 'setStorage', options, () => {
        write(options.key, options.data);
        return {};
      }),
    removeStorage: (options: KeyCall) =>
      asyncCall(process, 'removeStorage', options, () => {
        remove(options.key);
        return {};
      }),
    clearStorage: (options?: Callbacks) =>
      asyncCall(process, 'clearStorage', options, () => {
        clear();
        return {};
      }),
    getStorageInfo: (options?: Callbacks) => asyncCall(process, 'getStorageInfo', options, () => process.own(info())),
  };
}
