/**
 * Back-pressure: requests of so many bytes are open at once (parsed, attributed, on their way to the disk), more of them wait as they
 * were sent, and the rest is told to come back (429 with Retry-After) before anything of it was taken. Without it a slow disk would
 * fill the memory.
 *
 * Whoever floods waits for itself: turns go around among senders, and when the room is full it is the last request of the sender who
 * holds most of it that is refused.
 */
import { fail } from '../errors.ts';

export type Admission = {
  /** @throws too_many_requests */
  run<T>(sender: string, bytes: number, work: () => Promise<T>): Promise<T>;
};

type Waiting = { size: number; open(): void; refuse(): void };
type Line = { size: number; waiting: Waiting[] };

/** What a request costs besides its body. */
const overhead = 4_096;

export function createAdmission(room: { open: number; waiting: number }): Admission {
  let open = 0;
  let waiting = 0;
  const lines = new Map<string, Line>();

  const leave = (sender: string, line: Line, { size }: Waiting) => {
    waiting -= size;
    line.size -= size;
    // Its next turn comes after everybody else's.
    lines.delete(sender);
    if (line.waiting.length) lines.set(sender, line);
  };
  const admit = () => {
    for (const [sender, line] of lines) {
      if (open >= room.open) return;
      const first = line.waiting.shift();
      if (!first) continue;
      leave(sender, line, first);
      open += first.size;
      first.open();
    }
  };
  const makeRoom = (sender: string, size: number) => {
    while (waiting + size > room.waiting) {
      const [largest, line] = [...lines].reduce(
        (a, b) => (b[1].size > a[1].size ? b : a),
        ['', { size: 0, waiting: [] }],
      );
      const refused = (lines.get(sender)?.size ?? 0) + size < line.size ? line.waiting.pop() : undefined;
      if (!refused) throw fail('too_many_requests', { retryAfterSeconds: 1 });
      leave(largest, line, refused);
      refused.refuse();
    }
  };
  const turn = (sender: string, size: number) => {
    makeRoom(sender, size);
    const line = lines.get(sender) ?? { size: 0, waiting: [] };
    lines.set(sender, line);
    line.size += size;
    waiting += size;
    return new Promise<void>((resolve, reject) => {
      const refuse = () => reject(fail('too_many_requests', { retryAfterSeconds: 1 }));
      line.waiting.push({ size, open: resolve, refuse });
    });
  };

  return {
    async run(sender, bytes, work) {
      const size = bytes + overhead;
      if (open < room.open && !lines.size) open += size;
      else await turn(sender, size);
      try {
        return await work();
      } finally {
        open -= size;
        admit();
      }
    },
  };
}

/** So many at once, the others one after the other. */
export function inTurn(atOnce: number): <T>(work: () => Promise<T>) => Promise<T> {
  let running = 0;
  const queue: (() => void)[] = [];
  return async (work) => {
    // Whoever ends hands its place over, so a newcomer cannot slip in between.
    if (running >= atOnce) await new Promise<void>((resolve) => queue.push(resolve));
    else running++;
    try {
      return await work();
    } finally {
      const next = queue.shift();
      if (next) next();
      else running--;
    }
  };
}
