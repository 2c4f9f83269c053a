/**
 * Events in storage, oldest first, until Heyi has them. They lie in pieces, so that an event costs a write of its piece and not of
 * the whole queue. Killed between two writes, an event may be sent twice, under the same message id: stored once.
 */
const key = 'heyi.queue';
const pieceBytes = 24 * 1024;

/** `limit`: bytes that the queue may take of the 10 MB that a mini-program has. */
function createQueue({ platform, limit }) {
  let pieces = load();
  let dropped = 0;

  const nameOf = (piece) => `${key}.${piece.number}`;
  const size = () => pieces.reduce((sum, { bytes }) => sum + bytes, 0);

  function load() {
    const { first = 0, last = -1 } = Object(platform.read(key));
    const found = [];
    for (let number = first; number <= last; number++) {
      const items = platform.read(`${key}.${number}`);
      if (Array.isArray(items) && items.length) found.push(pieceOf(number, items));
    }
    return found;
  }

  function save(piece) {
    if (piece.items.length) platform.write(nameOf(piece), piece.items);
    else platform.remove(nameOf(piece));
  }

  function saveIndex() {
    if (pieces.length) platform.write(key, { first: pieces[0].number, last: pieces[pieces.length - 1].number });
    else platform.remove(key);
  }

  /** The oldest give way, a piece at a time. */
  function shed() {
    if (!pieces.length) return false;
    const [oldest] = pieces;
    pieces = pieces.slice(1);
    dropped += oldest.items.length;
    platform.remove(nameOf(oldest));
    saveIndex();
    console.warn(`heyi: no room for more events, ${dropped} of the oldest are lost`);
    return true;
  }

  return {
    get length() {
      return pieces.reduce((sum, { items }) => sum + items.length, 0);
    },
    shed,
    /** `item`: { sub, event }. */
    add(item) {
      const bytes = bytesOf(item);
      let piece = pieces[pieces.length - 1];
      const isNew = !piece || piece.bytes + bytes > pieceBytes;
      if (isNew) {
        piece = pieceOf(piece ? piece.number + 1 : 0, []);
        pieces.push(piece);
      }
      piece.items.push(item);
      piece.bytes += bytes;
      save(piece);
      if (isNew) saveIndex();
      while (pieces.length > 1 && size() > limit) shed();
    },
    /** The oldest, of one person, at most so many and so large. */
    take(most, mostBytes) {
      const batch = [];
      let bytes = 0;
      for (const { items } of pieces) {
        for (const item of items) {
          bytes += bytesOf(item);
          const isOther = batch.length && item.sub !== batch[0].sub;
          if (isOther || batch.length === most || (batch.length && bytes > mostBytes)) return batch;
          batch.push(item);
        }
      }
      return batch;
    },
    /** Items of `take`, done with. Some may have been shed meanwhile. */
    remove(batch) {
      for (const piece of pieces) {
        const items = piece.items.filter((item) => batch.indexOf(item) < 0);
        if (items.length === piece.items.length) continue;
        piece.items = items;
        piece.bytes = items.reduce((sum, item) => sum + bytesOf(item), 0);
        save(piece);
      }
      if (pieces.every(({ items }) => items.length)) return;
      pieces = pieces.filter(({ items }) => items.length);
      saveIndex();
    },
    clear() {
      for (const piece of pieces) platform.remove(nameOf(piece));
      pieces = [];
      saveIndex();
    },
  };
}

function pieceOf(number, items) {
  return { number, items, bytes: items.reduce((sum, item) => sum + bytesOf(item), 0) };
}

const bytesOf = (item) => byteLength(JSON.stringify(item));

/** Of the text in UTF-8. A mini-program has no TextEncoder. */
function byteLength(text) {
  let bytes = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    // A half of a surrogate pair is half of four bytes.
    bytes += unit < 0x80 ? 1 : unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 2 : 3;
  }
  return bytes;
}

module.exports = { createQueue, byteLength };
