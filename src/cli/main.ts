/**
 * `npx heyi <command>`: finds the command, reads its options, prints its answer as text or with --json as JSON. Exit code 0 done, 1
 * refused or failed, 2 typed wrongly. What a command does is its own file; `start` is main.ts of the server, run by the launcher.
 */
import { parseArgs } from 'node:util';
import { readEnvFile } from '../config.ts';
import { AppError } from '../errors.ts';
import { explainStartFault } from '../start-faults.ts';
import { adminGrant } from './admin-grant.ts';
import { clientCreate } from './client-create.ts';
import { clientList } from './client-list.ts';
import { type Command, usageError, type Values } from './command.ts';
import { connectorDisable } from './connector-disable.ts';
import { connectorList } from './connector-list.ts';
import { connectorSet } from './connector-set.ts';
import { doctor } from './doctor.ts';
import { eventsExport, eventsImport } from './events-archive.ts';
import { migrateCommand } from './migrate.ts';
import { reviewerAdd } from './reviewer-add.ts';
import { reviewerList } from './reviewer-list.ts';
import { reviewerRemove } from './reviewer-remove.ts';
import { start } from './start.ts';
import { verificationFileAdd, verificationFileList, verificationFileRemove } from './verification-file.ts';
import { writeKeyCreate } from './write-key-create.ts';
import { writeKeyDeclare } from './write-key-declare.ts';
import { writeKeyList } from './write-key-list.ts';

const commands: Command[] = [
  start,
  migrateCommand,
  connectorList,
  connectorSet,
  connectorDisable,
  clientCreate,
  clientList,
  writeKeyCreate,
  writeKeyDeclare,
  writeKeyList,
  eventsExport,
  eventsImport,
  verificationFileAdd,
  verificationFileList,
  verificationFileRemove,
  adminGrant,
  reviewerAdd,
  reviewerList,
  reviewerRemove,
  doctor,
];

const common = {
  json: { type: 'boolean', help: 'print the answer as JSON' },
  help: { type: 'boolean', short: 'h', help: 'print this' },
} as const;

async function main(args: string[]): Promise<number> {
  const command = commands.find(({ name }) => name === args.slice(0, name.split(' ').length).join(' '));
  if (!command) return unknown(args);
  const values = read(command, args.slice(command.name.split(' ').length));
  if (values.help) {
    print(help(command));
    return 0;
  }
  const { argument } = command;
  if (argument && values[argument.name] === undefined) throw usageError(`<${argument.name}> is missing`);
  for (const [name, option] of Object.entries(command.options)) {
    if (option.required && values[name] === undefined) throw usageError(`--${name} is missing`);
  }
  const { data, text, failed } = await command.run(values);
  print(values.json ? JSON.stringify(data, null, 2) : text);
  return failed ? 1 : 0;
}

function read(command: Command, args: string[]): Values {
  try {
    const options = { ...command.options, ...common };
    const { argument } = command;
    const { values, positionals } = parseArgs({
      args,
      options,
      strict: true,
      allowPositionals: argument !== undefined,
    });
    if (positionals.length > 1) throw usageError(`only one word may follow "${command.name}"`);
    return { ...(values as Values), ...(argument && { [argument.name]: positionals[0] }) };
  } catch (error) {
    throw usageError((error as Error).message);
  }
}

/** All commands, or those that begin with the words: `heyi connector`. */
function unknown(args: string[]): number {
  const asked = args.filter((arg) => !arg.startsWith('-')).join(' ');
  const found = asked ? commands.filter(({ name }) => name.startsWith(`${asked} `)) : commands;
  if (!found.length) throw usageError(`there is no command "${asked}"`);
  print(overview(found));
  return args.length && !args.includes('--help') && !args.includes('-h') ? 2 : 0;
}

function overview(shown: Command[]): string {
  const width = Math.max(...shown.map(({ name }) => name.length));
  const lines = shown.map(({ name, summary }) => `  ${name.padEnd(width)}   ${summary}`);
  return ['Usage: npx heyi <command> [--json]', '', ...lines, '', 'npx heyi <command> --help tells the options.'].join(
    '\n',
  );
}

function help(command: Command): string {
  const options = Object.entries({ ...command.options, ...common });
  const label = (name: string, type: string) => `--${name}${type === 'string' ? ' …' : ''}`;
  const width = Math.max(...options.map(([name, { type }]) => label(name, type).length));
  const lines = options.map(([name, option]) => {
    const required = 'required' in option && option.required ? ' (required)' : '';
    return `  ${label(name, option.type).padEnd(width)}   ${option.help}${required}`;
  });
  const details = command.details ? ['', command.details] : [];
  const { argument } = command;
  const words = argument ? [`  ${`<${argument.name}>`.padEnd(width)}   ${argument.help} (required)`] : [];
  const name = argument ? `${command.name} <${argument.name}>` : command.name;
  return [`npx heyi ${name}: ${command.summary}`, '', ...words, ...lines, ...details].join('\n');
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function explain(error: unknown): { code: number; text: string; name: string } {
  if (error instanceof AppError && error.code === 'bad_request') {
    return { code: 2, name: error.code, text: `${error.message}; see "npx heyi --help".` };
  }
  if (error instanceof AppError) {
    const fields = Object.entries(error.fields ?? {}).map(([name, fault]) => `\n  - ${name}: ${fault}`);
    return { code: 1, name: error.code, text: error.message + fields.join('') };
  }
  return { code: 1, name: 'failed', text: explainStartFault(error) };
}

const args = process.argv.slice(2);
try {
  readEnvFile();
  process.exitCode = await main(args);
} catch (error) {
  const { code, name, text } = explain(error);
  const asJson = args.includes('--json');
  process.stderr.write(`${asJson ? JSON.stringify({ error: { code: name, message: text } }) : text}\n`);
  process.exitCode = code;
}
// Nothing is left to wait for; the launcher's channel alone would keep the process.
if (process.connected) process.disconnect?.();
