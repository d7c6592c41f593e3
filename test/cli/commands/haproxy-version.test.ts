import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { judgeVersion, warnOfVersion } from '../../../src/cli/cells/haproxy-version.ts';

describe('the version of HAProxy that `cells haproxy --check` reads', () => {
  const rows: readonly [version: string, warning: RegExp | null][] = [
    ['2.4.30', /needs 2\.6 or later/],
    ['2.5.14', /needs 2\.6 or later/],
    ['2.6.22', /CVE-2025-11230.*upgrade to 2\.6\.23/],
    ['2.6.23', null],
    ['2.6.12-1+deb12u2', /CVE-2025-11230/],
    ['2.6.12-1+deb12u3', null],
    ['2.6.12-1+deb12u10', null],
    ['2.7.12', /upgrade to a branch/],
    ['2.8.9', /2\.8\.16/],
    ['2.8.15', /2\.8\.16/],
    ['2.8.16', null],
    ['2.8.16-1ubuntu1', null],
    ['2.9.15', /upgrade to a branch/],
    ['3.0.11-1+deb13u1', /unless the changelog of your distribution/],
    ['3.0.12-2cee34b', null],
    ['3.1.8', /3\.1\.9/],
    ['3.1.9', null],
    ['3.2.5', /3\.2\.6/],
    ['3.2.6', null],
    ['3.2.10', null],
    ['3.2-dev9', /3\.2\.6/],
    ['3.3.0', null],
    ['3.10.0', null],
    ['10.0.0', null],
  ];
  for (const [version, warning] of rows) {
    it(`${version} is ${warning === null ? 'new enough' : 'worth a warning'}`, () => {
      const found = judgeVersion(
        'haproxy',
        `HAProxy version ${version} 2025/10/03 - https://haproxy.org/\nStatus: x\n`,
      );
      if (warning === null) assert.equal(found, null);
      else assert.match(found ?? '', warning);
    });
  }

  it('is read in the form of older releases, too', () => {
    assert.match(judgeVersion('haproxy', 'HA-Proxy version 2.2.9-2 2021/01/01\n') ?? '', /needs 2\.6/);
  });

  describe('from a program', () => {
    let dir: string;
    beforeEach(async () => {
      dir = await mkdtemp(join(tmpdir(), 'cellpass-haproxy-'));
    });
    afterEach(() => rm(dir, { recursive: true }));
    const script = async (body: string) => {
      const file = join(dir, 'haproxy');
      await writeFile(file, `#!/bin/sh\n${body}\n`);
      await chmod(file, 0o755);
      return file;
    };

    it('that prints it for -v', async () => {
      const program = await script('test "$1" = -v && echo "HAProxy version 2.8.3 2024/01/01"');
      assert.match((await warnOfVersion(program)) ?? '', /2\.8\.3/);
    });

    it('that does not print it', async () => {
      for (const body of ['exit 1', 'true', 'echo nginx version: 1.2.3']) {
        assert.match((await warnOfVersion(await script(body))) ?? '', /can't be read/, body);
      }
      assert.match((await warnOfVersion(join(dir, 'nothing'))) ?? '', /can't be read/);
    });
  });
});
