/** Somewhere for a log to go: `lines` are what was written so far, each the JSON of an entry. */
import { Writable } from 'node:stream';

export function keptLog(): { lines: string[]; destination: Writable } {
  const lines: string[] = [];
  const destination = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      done();
    },
  });
  return { lines, destination };
}
