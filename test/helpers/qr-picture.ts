/** Reads the QR code out of a PNG as the sandbox draws it (one bit a pixel, no filter), as a phone would: from the pixels. */
import { inflateSync } from 'node:zlib';
import { decodeQR } from 'qr/decode.js';

export function readQrPicture(png: Buffer): { text: string; width: number } {
  const width = png.readUInt32BE(16);
  const rows = inflateSync(dataOf(png));
  const rowBytes = 1 + Math.ceil(width / 8);
  const data = new Uint8Array(width * width * 3);
  for (let y = 0; y < width; y++)
    for (let x = 0; x < width; x++) {
      const byte = rows.readUInt8(y * rowBytes + 1 + (x >> 3));
      data.fill(byte & (0x80 >> (x & 7)) ? 255 : 0, (y * width + x) * 3, (y * width + x + 1) * 3);
    }
  return { text: decodeQR({ width, height: width, data }), width };
}

function dataOf(png: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at);
    if (png.toString('latin1', at + 4, at + 8) === 'IDAT') parts.push(png.subarray(at + 8, at + 8 + length));
    at += length + 12;
  }
  return Buffer.concat(parts);
}
