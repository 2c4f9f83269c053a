/**
 * For a script tag. Without an inline script, which a strict Content-Security-Policy refuses:
 *
 *   <script src="/heyi.global.js" data-issuer="https://id.example.com" data-write-key="…" defer></script>
 *
 * Or, with more to say: `heyi.init({ … })`. Afterwards `heyi` has all methods.
 *
 * @import { Heyi, Options } from '../types.d.ts'
 * @typedef {Partial<Heyi> & { init(options: Options): Heyi }} Global
 */
import { createHeyi } from './heyi.js';

const page = /** @type {Window & { heyi?: Global }} */ (window);
// Included twice, events would be counted twice.
if (!page.heyi) {
  /** @type {Global} */
  const heyi = { init: (options) => Object.assign(heyi, createHeyi(options)) };
  page.heyi = heyi;
  const { issuer, writeKey, channel } = document.currentScript?.dataset ?? {};
  if (issuer && writeKey) heyi.init({ issuer, writeKey, ...(channel && { channel }) });
}
