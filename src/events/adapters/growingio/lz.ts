/**
 * Reads what LZ-string wrote, to a limit that holds while it is produced: 2 KB of it can stand for a megabyte, 500 KB for fifty
 * gigabytes, and the library, which has no limit, would make it all (threat F7).
 *
 * The format is LZ78 over UTF-16 units, as bits: a code of growing width names an earlier phrase; 0 and 1 announce a new unit of 8 or
 * 16 bits, 2 ends it. Each phrase is the one before it and the unit that followed, so it lies in the output in one piece: a dictionary
 * of places is enough, and no phrase is copied but to where it is wanted.
 */
import { fail } from '../../../errors.ts';

/** How the bits are written: so many in each unit, the highest first. */
export type Packing = { bits: number; length: number; unit(index: number): number };

const [narrow, wide, end] = [0, 1, 2];

/** @throws payload_too_large (more than `limit` UTF-16 units) | bad_request (not LZ-string, or cut off) */
export function decompress(packing: Packing, limit: number): string {
  const read = bitReader(packing);
  const output = new Uint16Array(limit);
  /** Where a phrase begins in the output, and its length, by code. */
  const starts = [0, 0, 0];
  const lengths = [0, 0, 0];
  let written = 0;
  let width = 2;
  /** Phrases until one more bit is needed. */
  let room = 1;
  /** The phrase before: none at the beginning. */
  let before = { start: 0, length: 0 };
  const learn = (start: number, length: number) => {
    starts.push(start);
    lengths.push(length);
    room--;
    if (room === 0) room = 2 ** width++;
  };
  for (;;) {
    const code = read(width);
    if (code === end) return Buffer.from(output.buffer, 0, written * 2).toString('utf16le');
    let phrase = { start: starts[code] ?? 0, length: lengths[code] ?? 0 };
    if (code === narrow || code === wide) {
      output[written] = read(code === narrow ? 8 : 16);
      phrase = { start: written, length: 1 };
      learn(phrase.start, 1);
    } else if (code === starts.length && before.length) {
      // The phrase that is being learned by this very step: the one before, and its own first unit.
      phrase = { start: before.start, length: before.length + 1 };
    } else if (code > starts.length || phrase.length === 0) throw broken();
    if (written + phrase.length > limit) throw fail('payload_too_large');
    const at = written;
    for (let index = 0; index < phrase.length; index++) output[at + index] = output[phrase.start + index] ?? 0;
    written += phrase.length;
    if (before.length) learn(before.start, before.length + 1);
    before = { start: at, length: phrase.length };
  }
}

function bitReader({ bits, length, unit }: Packing): (width: number) => number {
  let index = 0;
  let mask = 0;
  let current = 0;
  return (width) => {
    let value = 0;
    for (let bit = 0; bit < width; bit++) {
      if (mask === 0) {
        if (index === length) throw broken();
        current = unit(index++);
        mask = 1 << (bits - 1);
      }
      if (current & mask) value |= 1 << bit;
      mask >>= 1;
    }
    return value;
  };
}

const broken = () => fail('bad_request', { message: 'What says it is compressed is not, or part of it is missing.' });
