/** Back-pressure by itself: who is refused, and whose turn it is. */
import { describe, expect, it } from 'vitest';
import { createAdmission } from '../../src/events/admission.ts';
import { credentialIn } from '../../src/events/speaker.ts';

/** Requests of 100,000 bytes with what they cost besides, that end when they are told to. */
function crowded(room: { open: number; waiting: number }) {
  const admission = createAdmission(room);
  const opened: string[] = [];
  const ends = new Map<string, () => void>();
  const send = (sender: string, name: string, bytes = 95_904) =>
    admission
      .run(sender, bytes, () => {
        opened.push(name);
        return new Promise<string>((resolve) => ends.set(name, () => resolve(name)));
      })
      .catch((error: { code: string; retryAfterSeconds: number }) => `${error.code} ${error.retryAfterSeconds}`);
  const end = async (name: string) => {
    ends.get(name)?.();
    await new Promise(setImmediate);
  };
  return { send, end, opened };
}

describe('a sender', () => {
  it('F17: is one, in however many ways the header can be written', () => {
    const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;
    const headers = [
      basic('key'),
      basic('key:'),
      basic('key:1'),
      basic('key:2:3'),
      basic('key:').replace('Basic ', 'bAsIC   '),
    ];
    expect(new Set(headers.map((header) => credentialIn(header).credential))).toEqual(new Set(['key']));
    expect(credentialIn('bearer  a-token ')).toEqual({ scheme: 'bearer', credential: 'a-token' });
  });
});

describe('the room of a process', () => {
  it('holds so many bytes open and so many waiting; what comes then is told when to come back', async () => {
    const { send, end, opened } = crowded({ open: 200_000, waiting: 200_000 });
    const answers = Array.from({ length: 5 }, (_, n) => send('a', `a${n}`));
    expect(await Promise.race(answers)).toBe('too_many_requests 1');
    expect(opened).toEqual(['a0', 'a1']);
    await end('a0');
    expect(opened).toEqual(['a0', 'a1', 'a2']);
    for (const name of ['a1', 'a2', 'a3']) await end(name);
    expect(await Promise.all(answers)).toEqual(['a0', 'a1', 'a2', 'a3', 'too_many_requests 1']);
  });

  it('F17: is shared: one sender’s flood waits for itself, and the others come in turn', async () => {
    const { send, end, opened } = crowded({ open: 100_000, waiting: 600_000 });
    const flood = Array.from({ length: 7 }, (_, n) => send('flood', `flood${n}`));
    const others = [send('b', 'b0'), send('b', 'b1'), send('c', 'c0')];
    // The last of the flood gave way to them.
    expect(await Promise.all(flood.slice(4))).toEqual(Array(3).fill('too_many_requests 1'));
    for (let n = 0; n < 7; n++) await end(opened.at(-1) ?? '');
    expect(opened).toEqual(['flood0', 'b0', 'flood1', 'c0', 'b1', 'flood2', 'flood3']);
    expect(await Promise.all(others)).toEqual(['b0', 'b1', 'c0']);
  });
});
