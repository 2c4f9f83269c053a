/**
 * `npm run bench [name …]`: runs every promise's script, prints the table and writes it as JSON under bench/results/.
 * Each brings its own durable PostgreSQL; nothing leaves loopback.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import type { BenchResult } from './result.ts';

const all = ['exchange', 'resolve', 'ingest', 'merge', 'search', 'segments', 'profile'];
const asked = process.argv.slice(2);
const unknown = asked.find((name) => !all.includes(name));
if (unknown) {
  console.error(`There is no bench "${unknown}"; there are ${all.join(', ')}.`);
  process.exit(1);
}

const results: BenchResult[] = [];
for (const name of asked.length ? asked : all) {
  console.log(`measuring ${name} …`);
  const { run } = (await import(`./${name}.ts`)) as { run(): Promise<BenchResult[]> };
  results.push(...(await run()));
}

const round = (value: number) => (value >= 100 ? Math.round(value) : Number(value.toPrecision(3)));
console.table(
  results.map(({ promise, figure, unit, ceiling, ceiling_figure, ratio, target }) => ({
    promise,
    ours: `${round(figure)} ${unit}`,
    ceiling,
    'ceiling figure': `${round(ceiling_figure)} ${unit}`,
    ratio: round(ratio),
    target,
  })),
);

const folder = new URL('./results/', import.meta.url);
mkdirSync(folder, { recursive: true });
const at = new Date().toISOString();
const file = new URL(`${at.slice(0, 19).replaceAll(':', '')}.json`, folder);
const machine = {
  cpu: os.cpus()[0]?.model,
  cores: os.cpus().length,
  memory_gb: Math.round(os.totalmem() / 2 ** 30),
  node: process.version,
};
writeFileSync(file, `${JSON.stringify({ at, machine, results }, null, 2)}\n`);
console.log(`written to bench/results/${file.pathname.split('/').at(-1)}`);
