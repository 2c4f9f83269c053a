/** `heyi start`: described here; the launcher runs the server's own entry, so that signals meet no process in between. */
import { type Command, usageError } from './command.ts';

export const start: Command = {
  name: 'start',
  summary: 'start the server, as npm start does',
  details: 'Settings are read from the environment and from .env in the project folder: docs/configuration.md.',
  options: {},
  run: async () => {
    throw usageError('start is run by the launcher, setup/heyi.js');
  },
};
