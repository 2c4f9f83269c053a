/** What `wx` says about the phone, WeChat and the mini-program itself. Two makes, as their calls answer. */
import { asyncCall, type Callbacks, type Process } from './process.ts';

export type Make = 'android' | 'ios';
const makes = {
  android: {
    brand: 'HUAWEI',
    model: 'ALN-AL00',
    platform: 'android',
    system: 'Android 12',
    abi: 'arm64-v8a',
    benchmarkLevel: 34,
    memorySize: 11_450,
    agent: 'Mozilla/5.0 (Linux; Android 12; ALN-AL00 Build/HUAWEIALN-AL00; wv) AppleWebKit/537.36 (KHTML, like Gecko)',
  },
  ios: {
    brand: 'iPhone',
    model: 'iPhone 15<iPhone15,4>',
    platform: 'ios',
    system: 'iOS 17.5.1',
    benchmarkLevel: 43,
    memorySize: 5_660,
    agent: 'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)',
  },
};
const wechatVersion = '8.0.53';
export const baseLibrary = '3.7.0';

export const userAgentOf = (make: Make, language: string) =>
  `${makes[make].agent} Mobile/15E148 MicroMessenger/${wechatVersion}(0x28003533) NetType/WIFI Language/${language} MiniProgramEnv/${make}`;

type Settings = { make: Make; language: string; appid: string; version: string; envVersion: string };

export function createDevice(process: Process, { make, language, appid, version, envVersion }: Settings) {
  const { agent: _, ...device } = makes[make];
  const base = {
    SDKVersion: baseLibrary,
    enableDebug: false,
    host: { env: 'WeChat', appId: '' },
    language,
    version: wechatVersion,
    theme: 'light',
    fontSizeSetting: 16,
  };
  const screen = {
    pixelRatio: 3,
    screenWidth: 393,
    screenHeight: 852,
    windowWidth: 393,
    windowHeight: 759,
    statusBarHeight: 44,
    safeArea: { left: 0, right: 393, top: 44, bottom: 818, width: 393, height: 774 },
    screenTop: 93,
  };
  const setting = { bluetoothEnabled: false, locationEnabled: true, wifiEnabled: true, deviceOrientation: 'portrait' };
  const everything = () => process.own({ ...base, ...device, ...screen, ...setting });
  return {
    getDeviceInfo: () => process.own(device),
    getAppBaseInfo: () => process.own(base),
    getWindowInfo: () => process.own(screen),
    getSystemSetting: () => process.own(setting),
    getSystemInfoSync: everything,
    getSystemInfo: (options?: Callbacks) => asyncCall(process, 'getSystemInfo', options, everything),
    getSystemInfoAsync: (options?: Callbacks) => asyncCall(process, 'getSystemInfoAsync', options, everything),
    getAccountInfoSync: () =>
      process.own({ miniProgram: { appId: appid, envVersion, version: envVersion === 'release' ? version : '' } }),
    /** Never a new version: an update is not what these tests are about. */
    getUpdateManager: () => ({
      onCheckForUpdate: (listener: (result: { hasUpdate: boolean }) => void) =>
        queueMicrotask(() => process.deliver(() => listener(process.own({ hasUpdate: false })))),
      onUpdateReady() {},
      onUpdateFailed() {},
      applyUpdate() {},
    }),
    base64ToArrayBuffer: (text: string) => process.ownBuffer(Buffer.from(text, 'base64')),
    arrayBufferToBase64: (buffer: ArrayBuffer) => Buffer.from(new Uint8Array(buffer)).toString('base64'),
    getRandomValues: ({ length, ...options }: Callbacks & { length: number }) =>
      asyncCall(process, 'getRandomValues', options, () => ({
        randomValues: process.ownBuffer(crypto.getRandomValues(new Uint8Array(length))),
      })),
    nextTick: (work: () => void) => queueMicrotask(() => process.deliver(work)),
  };
}
