/**
 * Files at the top of our address by which a platform sees that the domain is ours (MP_verify_….txt of WeChat's consoles). Owns the
 * table verification_files and the address; operators put them there by `heyi verification-file` or the management API.
 */
import Router from '@koa/router';
import type { Knex } from 'knex';
import { z } from 'zod';
import { recordAudit } from '../audit/audit.ts';
import type { Database } from '../database.ts';
import { fail } from '../errors.ts';
import type { RequestState } from '../http/server.ts';
import type { Operator } from './operators.ts';

export const fileName = z.string().regex(/^[A-Za-z0-9_-]{1,64}\.txt$/, 'is letters, digits, _ and -, and ends in .txt');
/** What such files hold is a line of letters and digits. */
export const fileContent = z
  .string()
  .min(1)
  .max(1_024)
  .regex(/^[\x20-\x7e\r\n]+$/, 'must be plain ASCII text');

export type VerificationFile = { name: string; content: string; updated_at: Date };

export async function listFiles(db: Knex): Promise<VerificationFile[]> {
  return db('verification_files').select('name', 'content', 'updated_at').orderBy('name');
}

/** @throws invalid_fields */
export async function saveFile(
  trx: Knex.Transaction,
  file: { name: string; content: string },
  operator: Operator,
): Promise<VerificationFile> {
  const name = fileName.safeParse(file.name);
  const content = fileContent.safeParse(file.content);
  const fields = {
    ...(name.error && { name: name.error.issues[0]?.message ?? '' }),
    ...(content.error && { content: content.error.issues[0]?.message ?? '' }),
  };
  if (!name.success || !content.success) throw fail('invalid_fields', { fields });
  const [saved] = await trx('verification_files')
    .insert({ name: name.data, content: content.data })
    .onConflict('name')
    .merge({ content: content.data, updated_at: trx.fn.now() })
    .returning(['name', 'content', 'updated_at']);
  await recordAudit(trx, { ...operator, action: 'verification_file.saved', details: { name: name.data } });
  return saved;
}

/** @throws not_found */
export async function removeFile(trx: Knex.Transaction, name: string, operator: Operator): Promise<void> {
  const removed = await trx('verification_files').where({ name }).delete();
  if (!removed) throw fail('not_found', { message: 'There is no verification file of this name.' });
  await recordAudit(trx, { ...operator, action: 'verification_file.removed', details: { name } });
}

export function verificationFileRouter({ db }: { db: Database }): Router<RequestState> {
  const router = new Router<RequestState>();
  // Nothing but such a name gets as far as the database (threat E7).
  router.get(/^\/([A-Za-z0-9_-]{1,64}\.txt)$/, async (ctx, next) => {
    const file = await db('verification_files')
      .where({ name: ctx.path.slice(1) })
      .first('content');
    if (!file) return next();
    ctx.set('Cache-Control', 'no-cache');
    ctx.type = 'text/plain';
    ctx.body = file.content;
  });
  return router;
}
