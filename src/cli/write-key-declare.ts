/** `heyi write-key declare`: under which purposes a tracker collects that cannot say it itself. */
import { fail } from '../errors.ts';
import { consentDeclaration } from '../events/write-key-fields.ts';
import { declareConsents } from '../events/write-keys.ts';
import { type Command, withDatabase } from './command.ts';

export const writeKeyDeclare: Command = {
  name: 'write-key declare',
  summary: 'say under which purposes the trackers of a key collect',
  argument: { name: 'id', help: 'as "heyi write-key list" shows it' },
  details: [
    'For trackers that cannot say it with their events: what the website or the mini-program asks before it starts them.',
    'Without --consent nothing is declared any more. Who declared what is in the audit record.',
  ].join('\n'),
  options: {
    consent: { type: 'string', multiple: true, help: 'profiling, marketing, …; may be repeated' },
    by: { type: 'string', help: 'who answers for it: a person, a department', required: true },
  },
  async run({ id, consent, by }) {
    const wanted = consentDeclaration.safeParse({ purposes: consent ?? [], by });
    if (!wanted.success) {
      const fields = wanted.error.issues.map(({ path: [field], message }) => [
        field === 'by' ? '--by' : '--consent',
        message,
      ]);
      throw fail('invalid_fields', { fields: Object.fromEntries(fields) });
    }
    if (!/^[1-9]\d{0,8}$/.test(String(id))) throw fail('not_found');
    const actor = { actor_kind: 'system', actor_id: 'heyi write-key declare' } as const;
    const key = await withDatabase(({ db }) =>
      db.transaction((trx) => declareConsents(trx, Number(id), wanted.data, actor)),
    );
    const purposes = key.declared_consents.join(', ') || 'nothing';
    return { data: key, text: `${key.name} declares ${purposes}, by ${key.declared_by}.` };
  },
};
