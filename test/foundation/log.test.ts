import { describe, expect, it } from 'vitest';
import { createLogger, faultOf } from '../../src/log.ts';
import { keptLog } from '../helpers/kept-log.ts';

function logged(write: (log: ReturnType<typeof createLogger>) => void): string {
  const { lines, destination } = keptLog();
  write(createLogger({ level: 'trace', destination }));
  return lines.join('');
}

describe('G1: the log', () => {
  it('leaves out fields that hold secrets, also one level down', () => {
    const text = logged((log) =>
      log.info({ code: '482913', nested: { access_token: 'at-1', phone: '+8613800138000' }, fine: 'kept' }, 'x'),
    );
    for (const secret of ['482913', 'at-1', '13800138000']) expect(text).not.toContain(secret);
    expect(text).toContain('kept');
  });

  it('leaves them out in lists, in children, deep down and in what an error carries, and says its code', () => {
    const error = Object.assign(new Error('refused'), { code: '57P01', body: { id_token: 'it-2' }, token: 'tk-3' });
    const deep = { a: { b: { c: { d: { e: { f: 'fathomless' } } } } } };
    const text = logged((log) =>
      log.child({ secret: 'sc-4' }).error({ err: error, list: [{ otp: '482913' }], other: { error }, ...deep }, 'x'),
    );
    for (const secret of ['it-2', 'tk-3', 'sc-4', '482913', 'fathomless']) expect(text).not.toContain(secret);
    expect(JSON.parse(text).err).toMatchObject({ type: 'Error', message: 'refused', code: '57P01' });
  });

  it('masks phone numbers and secrets of addresses inside errors', () => {
    const error = new Error(
      'GET https://api.weixin.qq.com/sns/jscode2session?appid=wx1&secret=topsecret&js_code=abc failed for 13800138000',
    );
    const text = logged((log) => log.error({ err: error }, 'x'));
    for (const secret of ['topsecret', 'js_code=abc', '13800138000']) expect(text).not.toContain(secret);
    expect(text).toContain('138****8000');
  });

  it('leaves out where an error of the database quotes what people sent', () => {
    const failed = (code: string, message: string, more = {}) =>
      Object.assign(new Error(`insert into t values ($1) - ${message}`), { severity: 'ERROR', code, ...more });
    const row = 'Failing row contains (Zhang San).';
    const quoting = { detail: row, where: 'COPY t, line 1: "Zhang San"', internalQuery: "select 'Zhang San'" };
    const check = failed('23514', 'new row for relation "t" violates check constraint "c"', quoting);
    const value = failed('22P02', 'invalid input syntax for type numeric: "Zhang San"', quoting);
    const text = logged((log) => {
      for (const err of [check, value, new Error('a job failed', { cause: value })]) log.error({ err }, 'x');
    });
    expect(text).not.toContain('Zhang San');
    expect(JSON.parse(text.split('\n')[0] ?? '').err).toMatchObject({ code: '23514', message: check.message });
    expect(faultOf(check)).toBe('new row for relation "t" violates check constraint "c"');
    expect(faultOf(value)).toBe('invalid input syntax for type numeric: "…"');
  });

  it('E6: is one JSON object a line, whatever a stranger sends', () => {
    const text = logged((log) => log.info({ path: '/a\r\n{"level":"info"}\u001b[31m\u2028' }, 'x'));
    expect(text.trim().split('\n')).toHaveLength(1);
    expect(() => JSON.parse(text)).not.toThrow();
    expect(text).not.toContain('\u001b');
  });
});
