/** `heyi write-key create`: a key by which a website, a mini-program or a server sends events. */
import { fail } from '../errors.ts';
import { newWriteKey } from '../events/write-key-fields.ts';
import { issueWriteKey } from '../events/write-keys.ts';
import { type Command, type Values, withDatabase } from './command.ts';

export const writeKeyCreate: Command = {
  name: 'write-key create',
  summary: 'make a key for sending events; prints it once',
  details: [
    'A website          --kind client --name Shop --client <client_id> --origin https://shop.example.com --channel website',
    'A mini-program     --kind client --name Mini --client <client_id> --channel miniprogram',
    'A server           --kind server --name "Order system" --channel server',
  ].join('\n'),
  options: {
    kind: { type: 'string', help: 'client (public, speaks for visitors) or server (secret)', required: true },
    name: { type: 'string', help: 'what staff read in lists', required: true },
    client: { type: 'string', multiple: true, help: 'client_id whose tokens the key speaks for; may be repeated' },
    origin: { type: 'string', multiple: true, help: 'website that may use it from a browser; may be repeated' },
    'per-minute': {
      type: 'string',
      help: 'events it may send in a minute, when not the usual 60000; of a client key 2 KB count as one',
    },
    channel: { type: 'string', help: 'channel of events that name none: website, miniprogram, app, …' },
  },
  async run(values) {
    const wanted = check(values);
    const actor = { actor_kind: 'system', actor_id: 'heyi write-key create' } as const;
    const made = await withDatabase(({ db, seal }) => db.transaction((trx) => issueWriteKey(trx, seal, wanted, actor)));
    return { data: made, text: [`id    ${made.id}`, `key   ${made.key}`, 'The key is not shown again.'].join('\n') };
  },
};

/** As strict as the API, and in the words of the options. */
function check({ kind, name, client, origin, channel, 'per-minute': perMinute }: Values) {
  const events_per_minute = perMinute === undefined ? undefined : Number(perMinute);
  const wanted = newWriteKey.safeParse({ kind, name, client_ids: client, origins: origin, channel, events_per_minute });
  if (wanted.success) return wanted.data;
  const option: Record<string, string> = { client_ids: 'client', origins: 'origin', events_per_minute: 'per-minute' };
  const fields = wanted.error.issues.map(({ path: [field, at], message }) => {
    const given = at === undefined ? '' : ` (number ${Number(at) + 1})`;
    return [`--${option[String(field)] ?? String(field)}${given}`, message] as const;
  });
  throw fail('invalid_fields', { fields: Object.fromEntries(fields) });
}
