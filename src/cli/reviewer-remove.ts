/** `heyi reviewer remove`: the number is an ordinary one again, at once and in every process. */
import { removeReviewer } from '../connectors/sms/reviewers.ts';
import { type Command, withDatabase } from './command.ts';

export const reviewerRemove: Command = {
  name: 'reviewer remove',
  summary: 'take a number off the list of reviewers',
  options: {
    phone: { type: 'string', help: 'as it was added, in any spelling', required: true },
  },
  async run({ phone }) {
    const operator = { actor_kind: 'system', actor_id: 'heyi reviewer remove' } as const;
    const removed = await withDatabase(({ db, seal }) =>
      db.transaction((trx) => removeReviewer({ db: trx, seal }, String(phone), operator)),
    );
    return { data: removed, text: `${removed.phone} is an ordinary number again.` };
  },
};
