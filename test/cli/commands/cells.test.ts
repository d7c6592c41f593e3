import assert from 'node:assert/strict';
import { createPublicKey, type KeyObject, randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { readPublishedKeys } from '../../../src/cli/cells/published-keys.ts';
import type { Finding } from '../../../src/cli/doctor/finding.ts';
import { generateAuthority } from '../../../src/keys/certificate.ts';
import { type FakeCell, newKey, REALM, routed, runCommand, startCell } from '../../support/e2e/haproxy.ts';
import { randomMasterKey, startedCell } from '../../support/keys.ts';

const PUBLIC_URL = REALM.replace('/jwt/auth', '');

/** Of 2048 bits, and nobody's: fast to make. */
function randomJwk() {
  const modulus = randomBytes(256);
  modulus[0]! |= 0x80;
  modulus[255]! |= 1;
  return { kty: 'RSA', n: modulus.toString('base64url'), e: 'AQAB', alg: 'RS256', use: 'sig' };
}

describe('the commands for cells', () => {
  let dir: string;
  let one: FakeCell;
  let two: FakeCell;
  let file: string;
  // Made once: that is slow.
  let keys: readonly [KeyObject, KeyObject, KeyObject, short: KeyObject];
  before(function () {
    this.timeout(60_000);
    keys = [newKey(), newKey(), newKey(), newKey(1024)];
  });
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'cellpass-cells-'));
    file = join(dir, 'cells.yaml');
    [one, two] = [await startCell(1, keys[0]), await startCell(2, keys[1])];
    await writeTopology({ cells: [{ ...routed(one), legacy: true }, routed(two, 'acme')] });
  });
  afterEach(async () => {
    await one.stop();
    await two.stop();
    await rm(dir, { recursive: true });
  });
  const writeTopology = (topology: object) => writeFile(file, stringify(topology));
  /** Never throws: the printed JSON, the warnings, and the refusal. */
  const run = async (args: readonly string[], more: Record<string, string> = {}) => {
    const environment = { CELLPASS_CELLS_FILE: file, CELLPASS_PUBLIC_URL: PUBLIC_URL, ...more };
    const notes: string[] = [];
    const printed: string[] = [];
    const refusal = await runCommand(args, environment, {
      stdout: (text) => printed.push(text),
      stderr: (text) => notes.push(text),
    }).then(
      () => undefined,
      (error: Error) => error.message,
    );
    return { refusal, notes: notes.join(''), stdout: printed.join('') };
  };

  for (const args of [
    ['cells', 'check'],
    ['cells', 'haproxy', '--output', 'router'],
    ['keys', 'export-ca', '--all-cells'],
  ]) {
    it(`${args.join(' ')} refuses a --ca-file without certificates, by which any CA would count`, async () => {
      const caFile = join(dir, 'ca.pem');
      for (const text of ['', 'no certificate', '-----BEGIN CERTIFICATE-----\nMII']) {
        await writeFile(caFile, text);
        const inDir = args.map((word) => (word === 'router' ? join(dir, word) : word));
        const { refusal, stdout } = await run([...inDir, '--ca-file', caFile]);
        assert.match(refusal ?? '', /^--ca-file: can't read .*ca\.pem holds no certificate in PEM/);
        assert.equal(stdout, '');
      }
    });
  }

  describe('haproxy', () => {
    const write = async (...more: string[]) => {
      const outcome = await run(['cells', 'haproxy', '--output', join(dir, 'router'), '--json', ...more]);
      return { ...outcome, result: outcome.stdout === '' ? undefined : JSON.parse(outcome.stdout) };
    };
    const pems = async () => (await readdir(join(dir, 'router', 'keys'))).sort();

    it('writes each published key once, and says when nothing changed', async () => {
      const first = await write();
      assert.deepEqual(first.result.cells, [
        { id: 1, keys: 1, source: 'published' },
        { id: 2, keys: 1, source: 'published' },
      ]);
      assert.equal(first.result.changed, true);
      const [, name] = await pems();
      assert.equal(
        await readFile(join(dir, 'router', 'keys', name!), 'utf8'),
        createPublicKey(two.key).export({ type: 'spki', format: 'pem' }),
      );
      assert.equal((await write()).result.changed, false);
      assert.match(
        (await run(['cells', 'haproxy', '--output', join(dir, 'router')])).stdout,
        /nothing changed/,
      );
    });

    it('adds a new key, and removes one that is no longer published', async () => {
      await write();
      const before = await pems();
      two.published = [two.key, keys[2]];
      assert.equal((await write()).result.changed, true);
      assert.equal((await pems()).length, 3);
      two.published = [two.key];
      assert.equal((await write()).result.changed, true);
      assert.deepEqual(await pems(), before);
      assert.deepEqual(
        (await readdir(join(dir, 'router'))).map((name) => name.replace(/-[0-9a-f]{16}/, '')).sort(),
        ['haproxy.cfg', 'keys', 'namespaces.map', 'published-keys.json', 'unavailable.http'],
      );
    });

    it('keeps the keys of a cell that is away, and names it', async () => {
      const { result } = await write();
      await two.issuer.stop();
      const again = await write();
      assert.deepEqual(again.result.cells[1], { id: 2, keys: 1, source: 'kept' });
      assert.equal(again.result.changed, false);
      assert.match(again.notes, /^warning: cell 2: .*last published/);
      assert.match(again.result.warnings[0], /cell 2/);
      assert.ok(result.warnings.length === 0);
    });

    it('refuses the tokens of a cell whose keys were never known, and names it', async () => {
      await two.issuer.stop();
      const { refusal, result, notes } = await write();
      assert.equal(refusal, undefined);
      assert.deepEqual(result.cells[1], { id: 2, keys: 0, source: 'none' });
      assert.match(notes, /cell 2: .*no earlier answer is stored/);
      assert.doesNotMatch(await readFile(result.config, 'utf8'), /keys\/cell-2-/);
    });

    const USELESS: readonly [what: string, published: () => KeyObject[]][] = [
      ['keys of 1024 bits', () => [keys[3]]],
      ['no keys', () => []],
    ];
    for (const [what, published] of USELESS) {
      it(`doesn't take ${what}`, async () => {
        await write();
        two.published = published();
        const { result } = await write();
        assert.deepEqual(result.cells[1], { id: 2, keys: 1, source: 'kept' });
      });
    }

    it("doesn't take more than 32 keys", () => {
      const set = (count: number) => ({ keys: Array.from({ length: count }, randomJwk) });
      assert.equal(readPublishedKeys(set(32)).keys.length, 32);
      assert.throws(() => readPublishedKeys(set(33)), /33 keys/);
    });

    const NOT_USED: readonly [what: string, member: object][] = [
      ['for encryption', { use: 'enc' }],
      ['for another algorithm', { alg: 'RS512' }],
      ['of another kind', { kty: 'EC', crv: 'P-256' }],
      ['with a number that is none', { n: 'AQAB/+' }],
      ['with a number that is too long', { n: 'A'.repeat(2732) }],
    ];
    for (const [what, member] of NOT_USED) {
      it(`passes over a key ${what}`, () => {
        const { keys, passedOver } = readPublishedKeys({
          keys: [randomJwk(), { ...randomJwk(), ...member }],
        });
        assert.deepEqual([keys.length, passedOver], [1, 1]);
      });
    }

    it('leaves out a short key beside a good one, and says so', async () => {
      two.published = [two.key, keys[3]];
      const { result, notes } = await write();
      assert.deepEqual(result.cells[1], { id: 2, keys: 1, source: 'published' });
      assert.match(notes, /cell 2: 2 of its keys/);
    });

    it('warns of a HAProxy without the fix for CVE-2025-11230, and writes nevertheless', async () => {
      const program = join(dir, 'haproxy');
      for (const [version, warnings] of [
        ['2.8.15', 1],
        ['2.8.16', 0],
      ] as const) {
        await writeFile(
          program,
          `#!/bin/sh\n[ "$1" = -c ] || echo "HAProxy version ${version} 2025/01/01"\n`,
        );
        await chmod(program, 0o755);
        const { result, notes } = await write('--check', program);
        assert.equal(result.cells.length, 2);
        assert.equal(result.warnings.length, warnings, notes);
        assert.equal(/warning: .*haproxy is version 2\.8\.15, .*CVE-2025-11230/.test(notes), warnings === 1);
      }
      assert.deepEqual((await write()).result.warnings, [], 'without --check no program is run');
    });

    it('refuses stored answers that are damaged, and says what to do', async () => {
      await write();
      await two.issuer.stop();
      const stored = join(dir, 'router', 'published-keys.json');
      for (const text of ['', '{"2": {}}', '{"2": {"keys": []}}', '[]']) {
        await writeFile(stored, text);
        const { refusal } = await run(['cells', 'haproxy', '--output', join(dir, 'router')]);
        assert.match(
          refusal ?? '',
          /published-keys\.json is damaged: remove it, and run this while all cells answer/,
        );
      }
    });

    it('touches nothing when it refuses', async () => {
      const { result } = await write();
      const before = await readFile(result.config, 'utf8');
      const refusals: readonly [change: () => Promise<unknown>, message: RegExp, more: string[]][] = [
        [
          () =>
            writeTopology({
              cells: [
                { ...routed(one), legacy: true },
                { id: 2, url: 'http://127.0.0.1:1' },
              ],
            }),
          /cell 2 has no registry_url/,
          [],
        ],
        [() => writeTopology({ cells: [] }), /at least one cell/, []],
        [
          () => writeTopology({ cells: [{ ...routed(one), legacy: true }] }),
          /false -c refuses/,
          ['--check', 'false'],
        ],
      ];
      for (const [change, message, more] of refusals) {
        await change();
        assert.match((await write(...more)).refusal ?? '', message);
        assert.equal(await readFile(result.config, 'utf8'), before);
      }
      assert.match(
        (await run(['cells', 'haproxy'], { CELLPASS_CELLS_FILE: '' })).refusal ?? '',
        /CELLPASS_CELLS_FILE/,
      );
    });
  });

  describe('check', () => {
    const examine = async (more: Record<string, string> = {}) => {
      const { refusal, stdout } = await run(['cells', 'check', '--json'], more);
      const { checks } = JSON.parse(stdout) as { checks: readonly Finding[] };
      return { refusal, findings: checks, of: (name: string) => checks.filter((one) => one.name === name) };
    };

    it('is content where everybody answers', async () => {
      const { refusal, findings } = await examine();
      assert.deepEqual([refusal, [...new Set(findings.map(({ outcome }) => outcome))]], [undefined, ['ok']]);
      assert.deepEqual(
        findings.map(({ name }) => name),
        [
          'topology',
          'cell 1 issuer',
          'cell 1 keys',
          'cell 1 registry',
          'cell 2 issuer',
          'cell 2 keys',
          'cell 2 registry',
        ],
      );
      assert.match(
        (await run(['cells', 'check'])).stdout,
        /^ok {4}topology: cells 1 \(legacy\), 2; this is cell 1$/m,
      );
    });

    const FAULTS: readonly [
      what: string,
      fault: () => unknown,
      environment: Record<string, string>,
      name: string,
      message: RegExp,
    ][] = [
      [
        'an issuer that is away',
        () => two.issuer.stop(),
        {},
        'cell 2 issuer',
        /can't be reached .*ECONNREFUSED/,
      ],
      [
        'a registry that is away',
        () => two.registry.stop(),
        {},
        'cell 2 registry',
        /can't be reached .*ECONNREFUSED/,
      ],
      [
        'another realm',
        () => undefined,
        { CELLPASS_PUBLIC_URL: 'https://other.example.com' },
        'cell 1 registry',
        /realm https:\/\/registry\.example\.com\/jwt\/auth, but cellpass is at https:\/\/other/,
      ],
      [
        'another service',
        () => undefined,
        { CELLPASS_SERVICES: 'other' },
        'cell 2 registry',
        /service container_registry, but is configured here as other/,
      ],
      [
        'a key of two cells',
        () => {
          two.published = one.published;
        },
        {},
        'separate keys',
        /cells 1 and 2 publish the same key/,
      ],
      [
        'no usable key',
        () => {
          two.published = [];
        },
        {},
        'cell 2 keys',
        /no RSA key/,
      ],
      [
        'a router that is away',
        () => writeTopology({ cells: [{ ...routed(one), legacy: true }], router_url: 'http://127.0.0.1:1' }),
        {},
        'router',
        /can't be reached/,
      ],
      [
        'no topology',
        () => undefined,
        { CELLPASS_CELLS_FILE: '' },
        'topology',
        /CELLPASS_CELLS_FILE is not set/,
      ],
      ['a wrong setting', () => undefined, { CELLPASS_LISTEN: 'x' }, 'configuration', /CELLPASS_LISTEN/],
    ];
    for (const [what, fault, environment, name, message] of FAULTS) {
      it(`finds ${what}`, async () => {
        await fault();
        const { refusal, of } = await examine(environment);
        assert.match(refusal ?? '', /failed/);
        assert.deepEqual(
          of(name).map(({ outcome }) => outcome),
          ['failed'],
        );
        assert.match(of(name)[0]?.message ?? '', message);
      });
    }

    it('finds every mistake in the topology, with its line', async () => {
      await writeFile(file, 'cells:\n  - {id: 1, legacy: true, url: nowhere}\n  - {id: x, url: http://b}\n');
      const { of } = await examine();
      assert.deepEqual(
        of('topology').map(({ message }) => message.slice(file.length).split(' ')[0]),
        [':2:', ':3:'],
      );
    });

    it('refuses cells by http beyond this machine, unless the file says insecure: true', async () => {
      const cells = [{ ...routed(one), legacy: true, registry_url: 'http://0.0.0.0:9' }];
      await writeTopology({ cells });
      const { refusal, of } = await examine();
      assert.ok(refusal !== undefined);
      assert.deepEqual(
        of('topology').map(({ outcome }) => outcome),
        ['failed'],
      );
      assert.match(of('topology')[0]?.message ?? '', /cells\.0\.registry_url: http:\/\/0\.0\.0\.0:9 is http/);
      await writeTopology({ insecure: true, cells });
      assert.equal((await examine()).of('topology')[0]?.outcome, 'ok');
    });

    it('only warns of a machine that is no cell', async () => {
      const { refusal, of } = await examine({ CELLPASS_CELL: '7' });
      assert.deepEqual([refusal, of('topology')[0]?.outcome], [undefined, 'warning']);
    });
  });

  describe('keys export-ca --all-cells', () => {
    const authority = async (cellId: number) =>
      (
        await generateAuthority({ cellId, masterKey: await randomMasterKey(), now: new Date() })
      ).certificatePem.trim();
    const bundle = () => run(['keys', 'export-ca', '--all-cells']);
    let first: string;
    let second: string;
    before(async () => {
      [first, second] = [await authority(1), await authority(2)];
    });
    beforeEach(() => {
      one.authorities = `${first}\n`;
      two.authorities = `${second}\n${first}\n`;
    });

    it('bundles the CAs of all cells, each once, below its cell', async () => {
      const { refusal, stdout } = await bundle();
      assert.deepEqual([refusal, stdout], [undefined, `# cell 1\n${first}\n# cell 2\n${second}\n`]);
    });

    const FAULTS: readonly [what: string, fault: () => unknown, message: RegExp][] = [
      ['a cell is away', () => two.issuer.stop(), /cell 2 .*ECONNREFUSED/],
      [
        'a cell tells nothing',
        () => {
          two.authorities = '';
        },
        /cell 2 .*holds no certificate/,
      ],
      [
        'a certificate is damaged',
        () => {
          two.authorities = second.replace(/\n[^\n]{40}/, '\nAAAA');
        },
        /cell 2 /,
      ],
      [
        'a certificate is no CA',
        async () => {
          two.authorities = (await startedCell()).started.keys[0]!.certificate!.pem;
        },
        /cell 2 .*not of a CA/,
      ],
    ];
    for (const [what, fault, message] of FAULTS) {
      it(`prints nothing where ${what}`, async () => {
        await fault();
        const { refusal, stdout } = await bundle();
        assert.equal(stdout, '');
        assert.match(refusal ?? '', message);
      });
    }
  });
});
