/** The second process of histories.test.ts and races.test.ts: `node history-worker.ts <database address>`, then { id, step } each answered with { id, outcome }. */
import { createDatabase } from '../../src/database.ts';
import { type Step, take } from './history-step.ts';

const db = createDatabase({ url: process.argv[2] ?? '', application: 'second process' });
process.on('message', async ({ id, step }: { id: number; step: Step }) => {
  process.send?.({ id, outcome: await take(db, step) });
});
process.on('disconnect', () => process.exit());
process.send?.('ready');
