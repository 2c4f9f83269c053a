/**
 * What Heyi asks for before it sends a code when things look abnormal: the counter whose SHA-256 begins as the challenge says. A
 * mini-program has no hash function of its own, and no worker without a folder named in app.json: it is searched for here, in
 * slices that leave the screen alive.
 *
 * What is hashed, salt (16 bytes), nonce (16) and counter (4), fits into one block.
 */
const k = [
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
  0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
  0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
  0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
  0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
  0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
  0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
  0xc67178f2,
].map((word) => word | 0);
const initial = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

/** FIPS 180-4 section 6.2.2 on the block in the first 16 words of w. */
function compress(w, hash) {
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15];
    const y = w[i - 2];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  let [a, b, c, d, e, f, g, h] = initial;
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + k[i] + w[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => {
    hash[i] = word + initial[i];
  });
}

const wordsOf = (hex) => hex.match(/.{8}/g).map((word) => Number.parseInt(word, 16) | 0);
const hexOf = (words) => Array.from(words, (word) => `0000000${(word >>> 0).toString(16)}`.slice(-8)).join('');

/** Hashes without a breath, some 20 ms on an ordinary phone, and above what any challenge asks for. */
const slice = 4000;
const most = 5000000;

/** Resolves to the text that goes as `captcha` with the next request. */
function solveCaptcha(challenge) {
  const { salt, nonce, keyPrefix } = challenge.parameters;
  const w = new Int32Array(64);
  const hash = new Int32Array(8);
  const input = wordsOf(salt).concat(wordsOf(nonce));
  const wanted = wordsOf(keyPrefix);
  const isFound = (counter) => {
    // The message, its end mark, and its length in bits.
    w.fill(0, 9, 16);
    w.set(input);
    w[8] = counter;
    w[9] = 0x80000000 | 0;
    w[15] = 288;
    compress(w, hash);
    return wanted.every((word, i) => word === hash[i]);
  };
  return new Promise((resolve, reject) => {
    const search = (start) => {
      for (let counter = start; counter < start + slice; counter++) {
        if (!isFound(counter)) continue;
        resolve(JSON.stringify({ challenge, solution: { counter, derivedKey: hexOf(hash) } }));
        return;
      }
      if (start > most) reject(Object.assign(new Error('no solution'), { code: 'captcha_failed' }));
      else setTimeout(() => search(start + slice), 0);
    };
    search(0);
  });
}

module.exports = { solveCaptcha };
