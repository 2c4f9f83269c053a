/**
 * Makes dist/ before the package is packed: each of the two in one file, for pages that bundle nothing themselves. Bundlers take src/.
 *
 *   heyi.js          <script type="module"> import { createHeyi } from './heyi.js' </script>
 *   heyi.global.js   <script src="heyi.global.js">: the global `heyi`
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const file = fileURLToPath(import.meta.url);
const here = dirname(file);
const outputs = {
  'heyi.js': { input: 'src/heyi.js', format: 'es' },
  'heyi.global.js': { input: 'src/global.js', format: 'iife' },
};

/** The files' texts by name. */
export async function bundle() {
  const made = Object.entries(outputs).map(async ([name, { input, format }]) => {
    const build = await rolldown({ input: join(here, input), transform: { target: 'es2020' } });
    const { output } = await build.generate({ format, minify: true });
    await build.close();
    return [name, output[0].code];
  });
  return Object.fromEntries(await Promise.all(made));
}

if (argv[1] === file) {
  mkdirSync(join(here, 'dist'), { recursive: true });
  for (const [name, text] of Object.entries(await bundle())) writeFileSync(join(here, 'dist', name), text);
}
