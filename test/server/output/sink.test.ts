import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSink } from '../../../src/server/output/sink.ts';

describe('where lines are written', () => {
  let dir: string;
  const opened: number[] = [];
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'cellpass-sink-'));
  });
  after(() => {
    for (const descriptor of opened) closeSync(descriptor);
    rmSync(dir, { recursive: true, force: true });
  });
  const open = (path: string, flags: number): number => {
    const descriptor = openSync(path, flags, 0o600);
    opened.push(descriptor);
    return descriptor;
  };
  const LINE = Buffer.from(`${'x'.repeat(99)}\n`);

  it('a pipe whose reader hangs does not block: the write fails with EAGAIN', () => {
    const path = join(dir, 'pipe');
    execFileSync('mkfifo', [path]);
    // A descriptor that may read and write keeps the pipe open, and blocks when the pipe is full.
    const descriptor = open(path, constants.O_RDWR);
    const sink = openSink(descriptor);
    let written = 0;
    assert.throws(
      () => {
        for (;;) written += Number(sink.write(LINE));
      },
      { code: 'EAGAIN' },
    );
    assert.ok(written >= 4096);
    readSync(descriptor, Buffer.alloc(4096));
    assert.equal(sink.write(LINE), LINE.length);
  });

  it('a file is written at its end, by what shares the descriptor too', async () => {
    const path = join(dir, 'file');
    const sink = openSink(open(path, constants.O_WRONLY | constants.O_CREAT));
    assert.equal(await sink.write(LINE), LINE.length);
    assert.equal(sink.writeSync(LINE), LINE.length);
    assert.equal(readFileSync(path, 'utf8'), String(LINE).repeat(2));
  });

  it('a full device throws ENOSPC', () => {
    assert.throws(() => openSink(open('/dev/full', constants.O_WRONLY)).write(LINE), { code: 'ENOSPC' });
  });

  it('a descriptor that is closed fails with EBADF', async () => {
    await assert.rejects(async () => openSink(987).write(LINE), { code: 'EBADF' });
  });
});
