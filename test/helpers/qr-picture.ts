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

/** The same out of a screenshot: eight bits a channel, each row filtered as PNG has it. */
export function readPixels(png: Buffer): string {
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)];
  const channels = png.readUInt8(25) === 6 ? 4 : 3;
  const rows = inflateSync(dataOf(png));
  const stride = width * channels;
  const pixels = Buffer.alloc(stride * height);
  const at = (y: number, x: number) => (y < 0 || x < 0 ? 0 : pixels.readUInt8(y * stride + x));
  for (let y = 0; y < height; y++) {
    const start = y * (stride + 1);
    const filter = rows.readUInt8(start);
    for (let x = 0; x < stride; x++) {
      const [left, up, corner] = [at(y, x - channels), at(y - 1, x), x < channels ? 0 : at(y - 1, x - channels)];
      const predicted = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter] ?? 0;
      pixels.writeUInt8((rows.readUInt8(start + 1 + x) + predicted) & 255, y * stride + x);
    }
  }
  return decodeQR({ width, height, data: new Uint8Array(pixels) });
}

function paeth(left: number, up: number, corner: number): number {
  const guess = left + up - corner;
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}
