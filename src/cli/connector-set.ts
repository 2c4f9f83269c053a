/** `heyi connector set`: sets a way of signing in up. Secrets come from a file or standard input: a shell remembers what is typed. */
import { readFile } from 'node:fs/promises';
import { text as readAll } from 'node:stream/consumers';
import { configureConnector } from '../connectors/operators.ts';
import { connectors } from '../connectors/registry.ts';
import { declaredSettings, type Setting } from '../connectors/settings.ts';
import { fail } from '../errors.ts';
import { type Command, usageError, type Values, withDatabase } from './command.ts';

export const connectorSet: Command = {
  name: 'connector set',
  summary: 'set up a way of signing in, or replace its settings',
  argument: { name: 'connector', help: connectors.map(({ name }) => name).join(', ') },
  details: [
    'Settings are replaced as a whole, secrets included. Running servers use the new ones at once.',
    'From a file        heyi connector set email --settings email.json',
    'From a program     vault read … | heyi connector set email --settings -',
    ...connectors.flatMap((connector) => ['', `${connector.name}:`, ...describe(declaredSettings(connector))]),
  ].join('\n'),
  options: {
    settings: { type: 'string', help: 'file with the settings as a JSON object, or - for standard input' },
    set: { type: 'string', multiple: true, help: 'name=value of a setting that is no secret; may be repeated' },
    appid: { type: 'string', help: 'the app, where there is one connector for each: short for --set appid=…' },
  },
  async run(values) {
    const connector = String(values.connector);
    const settings = await settingsOf(connector, values);
    const configured = await withDatabase(({ db, seal }) =>
      db.transaction((trx) =>
        configureConnector(
          { db: trx, seal },
          { connector, settings },
          { actor_kind: 'system', actor_id: 'heyi connector set' },
        ),
      ),
    );
    const { id, changed } = configured;
    return { data: configured, text: `${id} is set up. Changed: ${changed.join(', ') || 'nothing'}.` };
  },
};

function describe(settings: Setting[]): string[] {
  const width = Math.max(...settings.map(({ name }) => name.length));
  const rows = settings.toSorted((a, b) => Number(b.is_required) - Number(a.is_required));
  return rows.map(({ name, is_required, is_secret, description }) => {
    const notes = [is_required && 'required', is_secret && 'secret'].filter(Boolean).join(', ');
    return `  ${name.padEnd(width)}   ${[description, notes && `(${notes})`].filter(Boolean).join(' ')}`.trimEnd();
  });
}

/** The file first, then what was typed. */
async function settingsOf(name: string, values: Values): Promise<Record<string, unknown>> {
  const connector = connectors.find((known) => known.name === name);
  const declared = connector ? declaredSettings(connector) : [];
  const typed = [values.appid === undefined ? [] : `appid=${String(values.appid)}`, values.set ?? []].flat();
  if (values.settings === undefined && !typed.length) throw usageError('--settings is missing');
  return {
    ...(values.settings === undefined ? {} : await readSettings(String(values.settings))),
    ...Object.fromEntries(typed.map((text) => readTyped(String(text), declared))),
  };
}

async function readSettings(file: string): Promise<object> {
  const text = await readText(file);
  let settings: unknown;
  try {
    settings = JSON.parse(text);
  } catch {
    // Without the parser's own words: they quote the text, and with it a secret.
    throw fail('invalid_json', { message: `${named(file)} is not valid JSON.` });
  }
  if (typeof settings === 'object' && settings !== null && !Array.isArray(settings)) return settings;
  throw fail('invalid_json', { message: `${named(file)} must be a JSON object of settings.` });
}

const named = (file: string) => (file === '-' ? 'Standard input' : file);

async function readText(file: string): Promise<string> {
  if (file === '-' && process.stdin.isTTY) process.stderr.write('The settings as JSON, then Ctrl-D:\n');
  try {
    return await (file === '-' ? readAll(process.stdin) : readFile(file, 'utf8'));
  } catch (error) {
    throw usageError(`${named(file)} cannot be read (${(error as { code?: string }).code})`);
  }
}

function readTyped(text: string, declared: Setting[]): [name: string, value: unknown] {
  const [, name = '', value = ''] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  // Not the whole text: it may be a secret that was typed in the wrong place.
  if (!name) throw usageError('--set takes name=value');
  const setting = declared.find((known) => known.name === name);
  if (setting?.is_secret)
    throw usageError(`${name} is a secret: give it by --settings, a shell remembers what is typed`);
  return [name, typedAs(setting?.types ?? [], value)];
}

/** As the schema wants it; what cannot be read so stays text, which the schema refuses by name. */
function typedAs(types: string[], text: string): unknown {
  const isNumber = (types.includes('integer') || types.includes('number')) && /^-?\d+(\.\d+)?$/.test(text);
  if (isNumber) return Number(text);
  return types.includes('boolean') && /^(true|false)$/.test(text) ? text === 'true' : text;
}
