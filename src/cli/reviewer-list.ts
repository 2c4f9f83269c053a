/** `heyi reviewer list`: which numbers sign in by a fixed code, without the codes. */
import { listReviewers } from '../connectors/sms/reviewers.ts';
import { type Command, table, withDatabase } from './command.ts';

export const reviewerList: Command = {
  name: 'reviewer list',
  summary: 'show the numbers of reviewers, without their codes',
  options: {},
  async run() {
    const data = await withDatabase(listReviewers);
    const rows = data.map(({ phone, expires_at, is_expired, note }) => [
      phone,
      is_expired ? 'ended' : 'signs in',
      expires_at.toISOString(),
      note ?? '',
    ]);
    const text = rows.length
      ? table(['number', 'state', 'until', 'note'], rows)
      : 'No number signs in by a fixed code.';
    return { data: { data }, text };
  },
};
