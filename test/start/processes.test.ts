/** Starting and stopping as people and their tools do it: npm as a real process, signals, kill -9, two at once. */
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as project from './project.ts';

const its = project.cloneForTests();

async function start(more: project.Settings = {}): Promise<project.Run> {
  const npm = project.run(['npm', 'start'], { cwd: its.cwd, settings: { ...its.settings, ...more } });
  await npm.until('is ready');
  return npm;
}

/** A request whose body is still on its way. */
async function halfRequest(port: string): Promise<{ finish(): Promise<string> }> {
  const socket = connect(Number(port), '127.0.0.1');
  await new Promise((resolve) => socket.once('connect', resolve));
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk;
  });
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(
    `POST /v1/track HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{`,
  );
  return {
    async finish() {
      socket.write('}');
      await closed;
      return answer;
    },
  };
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

describe('npm start', () => {
  it('prints its addresses; a second start says who runs where; SIGTERM to npm alone answers what is in flight', async () => {
    const npm = await start();
    expect(npm.output()).toContain(`http://localhost:${its.settings.PORT}`);
    expect(npm.output()).toMatch(/owner, once:\n\s+http/);
    expect(npm.complaints()).toBe('');

    const pid = project.find(its.dataDir, project.server);
    const second = project.run(['npm', 'start'], { cwd: its.cwd, settings: its.settings });
    expect(await second.ended).toBe(1);
    expect(second.complaints()).toContain(
      `already running on this DATA_DIR (process ${pid}, http://localhost:${its.settings.PORT})`,
    );
    expect(second.complaints()).not.toContain('    at ');

    const request = await halfRequest(its.settings.PORT);
    await pause(100);
    process.kill(npm.pid, 'SIGTERM');
    await pause(300);
    expect(project.find(its.dataDir, project.postgres)).toBeGreaterThan(0);
    expect(await request.finish()).toMatch(/^HTTP\/1\.1 4\d\d /);
    expect(await npm.ended).toBe(0);
  });

  it('ends on Ctrl-C to the group, which reaches the server twice, and starts again on the same data', async () => {
    for (let round = 0; round < 2; round++) {
      const npm = await start();
      process.kill(-npm.pid, 'SIGINT');
      process.kill(project.find(its.dataDir, project.server), 'SIGINT');
      expect(await npm.ended).toBe(0);
      expect(await project.leftovers(its.dataDir)).toEqual([]);
    }
  });

  it('ends when the terminal is closed and takes its output along', async () => {
    const npm = await start({ LOG_LEVEL: 'info' });
    npm.child.stdout?.destroy();
    npm.child.stderr?.destroy();
    process.kill(-npm.pid, 'SIGHUP');
    await npm.ended;
  });

  it.runIf(existsSync('/usr/bin/script'))(
    'ends when a real terminal is closed, whose every write then fails',
    async () => {
      const terminal = project.run(['/usr/bin/script', '-qec', 'npm start', '/dev/null'], {
        cwd: its.cwd,
        settings: { ...its.settings, LOG_LEVEL: 'info' },
      });
      await terminal.until('is ready');
      process.kill(terminal.pid, 'SIGKILL');
      await terminal.ended;
    },
  );

  it.each(['SIGHUP', 'SIGKILL'] as const)('ends after %s to npm alone, which passes nothing on', async (signal) => {
    const npm = await start();
    process.kill(npm.pid, signal);
    await npm.ended;
  });

  it('after a kill -9 PostgreSQL ends by itself, and also one that is still running does not stop the next start', async () => {
    const npm = await start();
    process.kill(project.find(its.dataDir, project.watcher), 'SIGKILL');
    process.kill(project.find(its.dataDir, project.server), 'SIGKILL');
    await npm.ended;
    const orphan = project.find(its.dataDir, project.postgres);
    const next = await start();
    expect(project.find(its.dataDir, project.postgres)).not.toBe(orphan);
    process.kill(project.find(its.dataDir, project.server), 'SIGKILL');
    await next.ended;
  });

  it('starts over locks whose process numbers belong to somebody else by now', async () => {
    const first = await start();
    process.kill(first.pid, 'SIGTERM');
    await first.ended;
    const place = project.placeOf(its.dataDir);
    // A sleeper of PostgreSQL's own user, which PostgreSQL alone would take for another postmaster.
    const { uid } = statSync(join(place, 'cluster'));
    const sleeper = project.run(['sleep', '60'], { cwd: '/', ...(process.getuid?.() === 0 ? { uid } : {}) });
    writeFileSync(join(place, 'lock'), JSON.stringify({ pid: process.pid, began: 'another time', kind: 'server' }));
    writeFileSync(
      join(place, 'cluster/postmaster.pid'),
      `${sleeper.pid}\n${place}/cluster\n0\n1\n\n127.0.0.1\n1 1\nready\n`,
    );
    const npm = await start();
    process.kill(sleeper.pid, 'SIGKILL');
    process.kill(npm.pid, 'SIGTERM');
    expect(await npm.ended).toBe(0);
  });

  it.each([
    ['an exception', 'throw new Error("boom")'],
    ['a rejection', 'Promise.reject(new Error("boom"))'],
  ])('G13: %s that nobody caught is logged, everything is stopped, and the exit code is 1', async (_what, fault) => {
    const hook = `process.on('SIGUSR2', () => { ${fault} })`;
    const npm = await start({ NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hook)}` });
    process.kill(project.find(its.dataDir, project.server), 'SIGUSR2');
    expect(await npm.ended).toBe(1);
    expect(npm.complaints()).toMatch(/"level":"fatal".*boom/);
  });
});
