/** Draws a QR code as WeChat's servers send one: a PNG of the width that was asked for, one bit a pixel. */
import { crc32, deflateSync } from 'node:zlib';
import { encodeQR } from 'qr';

export function qrPicture(text: string, width: number): Buffer {
  const modules = encodeQR(text, 'raw', { ecc: 'medium', border: 4 });
  const scale = Math.max(1, Math.floor(width / modules.length));
  const margin = Math.max(0, Math.floor((width - scale * modules.length) / 2));
  const size = Math.max(width, modules.length);
  const isDark = (x: number, y: number) =>
    modules[Math.floor((y - margin) / scale)]?.[Math.floor((x - margin) / scale)] === true;
  // A row is a filter byte (none) and its pixels, eight to a byte; a set bit is white.
  const rowBytes = 1 + Math.ceil(size / 8);
  const pixels = Buffer.alloc(rowBytes * size);
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++) if (!isDark(x, y)) setBit(pixels, y * rowBytes + 1 + (x >> 3), 0x80 >> (x & 7));
  return png(size, pixels);
}

function setBit(bytes: Buffer, at: number, bit: number): void {
  bytes.writeUInt8(bytes.readUInt8(at) | bit, at);
}

function png(size: number, pixels: Buffer): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(size, 0);
  header.writeUInt32BE(size, 4);
  // One bit a pixel; colour type, compression, filter and interlace stay 0: greyscale, the usual ones, none.
  header.writeUInt8(1, 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', deflateSync(pixels)), chunk('IEND')]);
}

function chunk(type: string, data = Buffer.alloc(0)): Buffer {
  const typed = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(typed));
  return Buffer.concat([length, typed, sum]);
}
