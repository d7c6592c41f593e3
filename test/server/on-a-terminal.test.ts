import assert from 'node:assert/strict';
import { freePort } from '../support/database/postgres.ts';
import { type Child, startChild } from '../support/processes/child.ts';
import { workersOf } from '../support/processes/children.ts';
import {
  ALICE,
  done,
  EXAMPLE,
  fetchToken,
  makeSite,
  ROOT,
  type Site,
  saying,
} from '../support/processes/site.ts';

describe('serve on a terminal', function () {
  this.timeout(60_000);
  let site: Site;
  let terminal: Child;
  let url: string;

  before(async () => {
    site = await makeSite('postgresql');
    url = `http://127.0.0.1:${await freePort()}`;
    const env = { ...site.env, CELLPASS_LISTEN: url.slice('http://'.length) };
    // util-linux's `script` gives the server a terminal as stdin, stdout and stderr, and copies
    // what it prints.
    const args = ['-qefc', 'exec bin/cellpass serve', '/dev/null'];
    terminal = startChild('script', 'script', args, { env, cwd: ROOT });
    await saying(terminal, 'Press Ctrl+C');
  });

  after(async () => {
    await terminal.stop();
    await site.remove();
  });

  it('writes lines for people, and no JSON', async () => {
    await done(site, 'directory', 'apply', '-f', EXAMPLE);
    await fetchToken(url, ALICE, 'repository:acme/web:pull');
    await saying(terminal, 'granted=repository:acme/web:pull');
    const lines = terminal.output().split('\r\n');
    assert.ok(lines.some((line) => /^\d\d:\d\d:\d\dZ info {2}listening {2}/.test(line)));
    assert.ok(
      lines.some((line) =>
        /^\d\d:\d\d:\d\dZ info {2}GET \/jwt\/auth 200 in \d+ ms {2}subject=alice/.test(line),
      ),
    );
    assert.doesNotMatch(terminal.output(), /"msg"/);
  });

  const steps: [what: string, text: () => string][] = [
    ['the realm', () => `    ${url}/jwt/auth`],
    ['how to load the example directory', () => '    bin/cellpass directory apply -f examples/acme.yaml'],
    [
      'how to get a token',
      () => `    curl -u "alice:correct horse" "${url}/jwt/auth?service=container_registry&`,
    ],
    ['what the registry must trust', () => '    bin/cellpass keys export-ca > token-ca.pem'],
    ["the registry's configuration", () => `        realm: ${url}/jwt/auth`],
    ['how to log in', () => '    docker login -u alice REGISTRY'],
  ];
  for (const [what, text] of steps) {
    it(`says ${what}`, () => assert.ok(terminal.output().includes(text()), terminal.output()));
  }

  it('stops on the signal of Ctrl+C', async () => {
    const [pid] = workersOf(terminal.pid!);
    process.kill(pid!, 'SIGINT');
    assert.equal(await terminal.ended, 0);
    assert.match(terminal.output(), /Z info {2}stopping: /);
  });
});
