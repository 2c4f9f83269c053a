/** What a browser calls itself, in the words people know: for "where is this sign-in from". A hint to a person, never a check. */

const browsers: [name: string, sign: RegExp][] = [
  ['WeChat', /MicroMessenger\//],
  ['Edge', /\bEdgA?(?:iOS)?\//],
  ['Opera', /\bOPR\//],
  ['QQ', /\bM?QQBrowser\//],
  ['Firefox', /\b(?:Firefox|FxiOS)\//],
  ['Chrome', /\b(?:Chrome|CriOS)\//],
  ['Safari', /\bSafari\//],
];
const systems: [name: string, sign: RegExp][] = [
  ['Windows', /\bWindows\b/],
  ['HarmonyOS', /\b(?:HarmonyOS|OpenHarmony)\b/],
  ['Android', /\bAndroid\b/],
  ['iPhone', /\biPhone\b/],
  ['iPad', /\biPad\b/],
  ['macOS', /\bMac(?:intosh| OS X)\b/],
  ['Linux', /\b(?:Linux|X11|CrOS)\b/],
];

/** `Chrome · Windows`; empty when it says nothing that is known. */
export function browserName(userAgent: string): string {
  const named = (list: typeof browsers) => list.find(([, sign]) => sign.test(userAgent))?.[0];
  return [named(browsers), named(systems)].filter(Boolean).join(' · ');
}

export function isPhone(userAgent: string): boolean {
  return /\b(?:iPhone|iPod|Windows Phone)\b|\bAndroid\b.*\bMobile\b|\bMobile\b.*\bHarmony/.test(userAgent);
}
