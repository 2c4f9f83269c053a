import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Goes on for as long as it is told to: asked for by FUZZ_SECONDS alone.
    exclude: process.env.FUZZ_SECONDS ? [] : ['test/security/fuzz.test.ts'],
    globalSetup: 'test/helpers/global-setup.ts',
    // A browser or a process of its own shares a busy machine with everything else that runs: patience fails no test by chance.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
    // Two cores: more files at once only makes each slower.
    maxWorkers: 2,
    pool: 'forks',
    // The files of a worker share its modules: loading the product anew for each was a third of the time. So no helper opens,
    // sets or hooks anything while it loads: a function of it does, called by the file whose end undoes it.
    isolate: false,
  },
});
