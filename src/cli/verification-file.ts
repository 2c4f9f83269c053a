/** `heyi verification-file add | remove | list`: the file that WeChat's console gives for a domain, served at the top of PUBLIC_URL. */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { listFiles, removeFile, saveFile } from '../connectors/verification-files.ts';
import { type Command, table, usageError, withDatabase } from './command.ts';

const operatorOf = (command: string) => ({ actor_kind: 'system', actor_id: `heyi ${command}` }) as const;

export const verificationFileAdd: Command = {
  name: 'verification-file add',
  summary: 'serve a file by which a platform sees that the domain is ours',
  argument: { name: 'file', help: 'the file as it was downloaded; with --content its name is enough' },
  details: 'Running servers serve it at once: MP_verify_….txt is read at <PUBLIC_URL>/MP_verify_….txt.',
  options: { content: { type: 'string', help: 'what it holds, where there is no file at hand' } },
  async run({ file, content }) {
    const name = basename(String(file));
    const text = content === undefined ? await readContent(String(file)) : String(content);
    const { url, saved } = await withDatabase(async ({ db, config }) => ({
      url: `${config.publicUrl}/${name}`,
      saved: await db.transaction((trx) => saveFile(trx, { name, content: text }, operatorOf('verification-file add'))),
    }));
    return { data: { ...saved, url }, text: `${url} is served.` };
  },
};

async function readContent(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw usageError(
      `${file} cannot be read (${(error as { code?: string }).code}); --content gives it without a file`,
    );
  }
}

export const verificationFileRemove: Command = {
  name: 'verification-file remove',
  summary: 'serve such a file no longer',
  argument: { name: 'name', help: 'as "heyi verification-file list" shows it' },
  options: {},
  async run({ name }) {
    await withDatabase(({ db }) =>
      db.transaction((trx) => removeFile(trx, String(name), operatorOf('verification-file remove'))),
    );
    return { data: { name }, text: `${name} is gone.` };
  },
};

export const verificationFileList: Command = {
  name: 'verification-file list',
  summary: 'show these files',
  options: {},
  async run() {
    const files = await withDatabase(({ db }) => listFiles(db));
    const rows = files.map(({ name, content }) => [name, content.trim()]);
    return { data: files, text: rows.length ? table(['name', 'content'], rows) : 'There are none.' };
  },
};
