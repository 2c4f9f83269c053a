/** Files by which a platform sees that the domain is ours: what sound ones are is known in connectors/. */
import { z } from 'zod';
import { fileContent, fileName, listFiles, removeFile, saveFile } from '../connectors/verification-files.ts';
import { pageOf, pageQuery, paginate, timestamp } from './page.ts';
import { actorOf, route } from './services.ts';

const fileBody = z
  .object({ name: z.string(), content: z.string(), updated_at: timestamp })
  .meta({ id: 'VerificationFile' });
const shared = { tag: 'Settings', scopes: ['settings:write'] };
const path = '/verification-files/{name}';
const params = z.object({ name: fileName });

export const verificationFileRoutes = [
  route({
    ...shared,
    method: 'get',
    path: '/verification-files',
    id: 'listVerificationFiles',
    summary: 'The files by which platforms see that the domain is ours',
    query: pageQuery,
    answer: pageOf(fileBody),
    handle: async ({ db }, { query }) => paginate(await listFiles(db), ({ name }) => name, query),
  }),
  route({
    ...shared,
    method: 'put',
    path,
    id: 'saveVerificationFile',
    summary: 'Serve this file at the top of our address',
    description: "As WeChat's console gives it for a domain (`MP_verify_….txt`). Every process serves it at once.",
    params,
    body: z.strictObject({ content: fileContent }),
    answer: fileBody,
    handle: ({ db }, request) =>
      db.transaction((trx) => saveFile(trx, { ...request.params, ...request.body }, actorOf(request))),
  }),
  route({
    ...shared,
    method: 'delete',
    path,
    id: 'removeVerificationFile',
    summary: 'Serve this file no longer',
    params,
    answer: z.object({ name: z.string() }),
    async handle({ db }, request) {
      await db.transaction((trx) => removeFile(trx, request.params.name, actorOf(request)));
      return request.params;
    },
  }),
];
