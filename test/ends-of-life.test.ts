import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = new URL('..', import.meta.url).pathname;
const SCRIPT = join(ROOT, 'deploy/check-ends-of-life.mjs');
const FILES = [
  'deploy/Dockerfile',
  'deploy/compose.yaml',
  'deploy/ends-of-life.json',
  'test/node-versions.sh',
];

describe('the ends of life of what deploy/ ships', () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'cellpass-ends-'));
    await mkdir(join(root, 'deploy'));
    await mkdir(join(root, 'test'));
    for (const file of FILES) await cp(join(ROOT, file), join(root, file));
  });
  afterEach(() => rm(root, { recursive: true }));

  const check = (today: string) =>
    spawnSync(process.execPath, [SCRIPT, '--root', root, '--today', today], { encoding: 'utf8' });
  const change = async (file: string, from: RegExp, to: string): Promise<void> => {
    const path = join(root, file);
    const text = await readFile(path, 'utf8');
    assert.match(text, from);
    await writeFile(path, text.replace(from, to));
  };

  it('are all to come, by the calendar of the machine that runs this test', () => {
    const { status, stderr } = spawnSync(process.execPath, [SCRIPT], { encoding: 'utf8' });
    assert.deepEqual([status, stderr], [0, '']);
  });

  it('are no failure for a line that the tests only run against, but a printed line', () => {
    const { status, stdout } = check('2026-11-26');
    assert.equal(status, 0);
    assert.match(stdout, /^only tested against: node 20 ended on 2026-04-30/m);
  });

  const ended: [what: string, file: string, from: RegExp, to: string, message: RegExp][] = [
    ['the image’s Node', 'deploy/Dockerfile', /node:24[.\d]*/, 'node:20.20.2', /node 20 ended on 2026-04-30/],
    ['HAProxy', 'deploy/compose.yaml', /haproxy:\S+/, 'haproxy:3.1.17', /haproxy 3\.1\.17 .*missing in/],
    [
      'PostgreSQL',
      'deploy/compose.yaml',
      /postgres:\S+/,
      'postgres:14.3-trixie',
      /postgres 14.3 .*missing in/,
    ],
    [
      'an unknown image',
      'deploy/compose.yaml',
      /registry:\S+/,
      'docker.io/zot:2.1.0',
      /zot 2\.1\.0 .*missing/,
    ],
  ];
  for (const [what, file, from, to, message] of ended) {
    it(`fail the check for ${what}`, async () => {
      await change(file, from, to);
      const { status, stderr } = check('2026-11-26');
      assert.equal(status, 1);
      assert.match(stderr, message);
    });
  }

  it('fail the check on the day after, for the Debian under an image, too', () => {
    assert.equal(check('2028-04-30').status, 0);
    assert.match(check('2028-05-01').stderr, /node 24 ended on 2028-04-30/);
    assert.match(check('2028-07-01').stderr, /debian bookworm ended on 2028-06-30 \(node:24/);
  });

  it('are announced half a year before', () => {
    assert.match(check('2028-03-01').stdout, /node 24 ends on 2028-04-30, in 60 days/);
  });
});
