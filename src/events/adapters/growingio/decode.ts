/**
 * The text of a request, and the events in it: a JSON list, as it is or as LZ-string, which each transport packs in its own way.
 *
 *   compress   transport                                  packing
 *   0          all                                        none
 *   1          the browser's body                         bytes, 16 bits in two of them
 *   1          the mini-program's body, X-Compress-Codec  text, 15 bits in a character from U+0020 on
 *   11         the browser's image                        the URL-safe alphabet, 6 bits in a character
 */
import { fail } from '../../../errors.ts';
import { batchBytes } from '../../door.ts';
import { decompress, type Packing } from './lz.ts';

/** @throws bad_request | payload_too_large */
export function textOfBody(bytes: Buffer, compress: unknown, codec: string): string {
  if (compress !== '1') return bytes.toString('utf8');
  return decompress(codec ? packedText(bytes.toString('utf8')) : packedBytes(bytes), batchBytes);
}

/**
 * The tracker writes plain JSON into the address as it is, `&` and all, so what follows `data=` is one value to the end.
 * @throws as textOfBody
 */
export function textOfQuery(querystring: string): string {
  const [, query = '', data = ''] = /^(.*?)&data=(.*)$/.exec(querystring) ?? [];
  if (!data) throw fail('bad_request', { message: 'There is no "data".' });
  if (new URLSearchParams(query).get('compress') !== '11') return decoded(data);
  return decompress(packedAddress(data), batchBytes);
}

const packedBytes = (bytes: Buffer): Packing => ({
  bits: 16,
  length: Math.floor(bytes.length / 2),
  unit: (index) => bytes.readUInt16BE(index * 2),
});
const packedText = (text: string): Packing => ({
  bits: 15,
  length: text.length,
  unit: (index) => text.charCodeAt(index) - 32,
});
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-$';
const packedAddress = (text: string): Packing => ({
  bits: 6,
  length: text.length,
  unit: (index) => alphabet.indexOf(text.charAt(index)),
});

/** The browser encodes what it must; a percent sign of the page's own address stays as it was. */
function decoded(text: string): string {
  return text.replace(/(?:%[\da-f]{2})+/gi, (encoded) => {
    try {
      return decodeURIComponent(encoded);
    } catch {
      return encoded;
    }
  });
}

/** @throws invalid_json | bad_request, of the whole request */
export function eventsIn(text: string): unknown[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw fail('invalid_json', { cause });
  }
  if (!Array.isArray(value)) throw fail('bad_request', { message: 'A list of events is needed.' });
  return value;
}
