/** `heyi reviewer add`: a number with a fixed code for the people who review a mini-program or an app. */
import { addReviewer } from '../connectors/sms/reviewers.ts';
import { findByIdentity } from '../subjects/subjects.ts';
import { type Command, withDatabase } from './command.ts';

export const reviewerAdd: Command = {
  name: 'reviewer add',
  summary: 'let a number of reviewers (审核员) sign in by a fixed code; prints it once',
  details: [
    'Nothing is sent to the number. It signs in to an account of its own, never to that of a customer, and is',
    'refused when somebody signs in by it. Listed again, it gets a new code and a new end.',
  ].join('\n'),
  options: {
    phone: { type: 'string', help: 'a number that nobody signs in by', required: true },
    days: { type: 'string', help: 'days until it ends, 1 to 90 (14 unless stated)' },
    code: { type: 'string', help: 'six digits; made unless stated' },
    note: { type: 'string', help: 'what for, such as "WeChat review of version 2.1"' },
  },
  async run({ phone, days = '14', code, note }) {
    const operator = { actor_kind: 'system', actor_id: 'heyi reviewer add' } as const;
    const wanted = {
      phone: String(phone),
      days: Number(days),
      ...(code !== undefined && { code: String(code) }),
      ...(note !== undefined && { note: String(note) }),
    };
    const added = await withDatabase(({ db, seal }) =>
      db.transaction((trx) => {
        const isSomebodys = async (identity: Parameters<typeof findByIdentity>[1]) =>
          (await findByIdentity({ db, seal }, identity)) !== undefined;
        return addReviewer({ db: trx, seal, isSomebodys }, wanted, operator);
      }),
    );
    const text = `${added.phone} signs in with the code ${added.code} until ${added.expires_at.toISOString()}.`;
    return { data: added, text };
  },
};
