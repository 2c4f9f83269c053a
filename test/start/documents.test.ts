import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { configurationPage, exampleFile } from '../../setup/document-settings.ts';
import { projectRoot, settings } from '../../src/config.ts';

const read = (file: string) => readFileSync(join(projectRoot, file), 'utf8');

describe('the pages about settings', () => {
  it('are what "npm run docs" writes', () => {
    expect(read('docs/configuration.md')).toBe(configurationPage());
    expect(read('.env.example')).toBe(exampleFile());
  });

  it.each(Object.keys(settings.shape))('tell what %s means, and name it in the example', (name) => {
    expect(configurationPage()).toMatch(new RegExp(`\\| \`${name}\` \\| .* \\| \\S.+\\. `));
    expect(exampleFile()).toMatch(new RegExp(`^# ${name}=`, 'm'));
  });
});
