import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { judgeChallenge, parseChallenge } from '../../../src/cli/doctor/challenge.ts';
import { DATABASE_CLOCK, judgeClock, judgeReplicas, REGISTRY_CLOCK } from '../../../src/cli/doctor/clocks.ts';
import { judgeCell, judgeMigrations, judgeNotices, judgeVersion } from '../../../src/cli/doctor/database.ts';
import { judgeTls } from '../../../src/cli/doctor/examine.ts';
import { judgeCopy, judgeKeys } from '../../../src/cli/doctor/federation.ts';
import type { Verdict } from '../../../src/cli/doctor/finding.ts';
import { judgeHealth, judgePublicUrl, lookForCellpass } from '../../../src/cli/doctor/public-url.ts';
import { judgeCanary, judgeSchedule } from '../../../src/cli/doctor/registries.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { freePort } from '../../support/database/postgres.ts';
import { startedCell } from '../../support/keys.ts';
import { assertVerdict, type Outcome } from './support.ts';

/** Of P-256, from RFC 7515 appendix A.3. */
const KEY = {
  kty: 'EC',
  crv: 'P-256',
  x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
  y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
};
const DAMAGED = { ...KEY, kid: 'b', y: 'AAAA' };

const at = (machine: string, aheadS: number) => ({ machine, aheadMs: aheadS * 1000 });

describe('doctor: what each check makes of what it found', () => {
  const verdicts: [what: string, verdict: Verdict, outcome: Outcome, says: RegExp | string][] = [
    ['no registry of one key', judgeSchedule([], { rotateEveryDays: 30 }), 'ok', 'no registry'],
    ['one, and rotation by hand', judgeSchedule(['zot'], { rotateEveryDays: 0 }), 'ok', 'by hand'],
    ['one, and a schedule', judgeSchedule(['zot'], { rotateEveryDays: 30 }), 'warning', 'zot trusts one key'],
    ['PostgreSQL 13', judgeVersion(13), 'ok', 'PostgreSQL 13'],
    ['PostgreSQL 12', judgeVersion(12), 'failed', 'use 13 or later'],
    ['a NOTIFY that comes', judgeNotices(true), 'ok', 'arrives'],
    ['a NOTIFY that does not', judgeNotices(false), 'warning', 'pooler in session mode'],
    ['no pending migration', judgeMigrations([], false), 'ok', 'applied'],
    ['one that the next start applies', judgeMigrations(['0009-x'], true), 'ok', '0009-x'],
    ['one that no start applies', judgeMigrations(['0009-x'], false), 'failed', '"cellpass migrate"'],
    ['a database of no cell yet', judgeCell(2, null), 'ok', '2'],
    ['the database of this cell', judgeCell(2, 2), 'ok', '2'],
    ["another cell's database", judgeCell(2, 3), 'failed', 'CELLPASS_CELL=3'],
    ['a database clock 1.9 s ahead', judgeClock('its', 1.9, DATABASE_CLOCK), 'ok', '1.9 s ahead'],
    ['2 s behind', judgeClock('its', -2, DATABASE_CLOCK), 'warning', '2.0 s behind'],
    ['no running process', judgeReplicas([]), 'ok', '0 running'],
    ['processes that agree', judgeReplicas([at('a', 0), at('b', -30)]), 'ok', '2 running processes agree'],
    ['one of them off', judgeReplicas([at('a', 0), at('b', -31)]), 'failed', 'machine b by -31 s'],
    ['all of them off', judgeReplicas([at('a', 3600), at('b', 3601)]), 'failed', "the database's machine"],
    ['30 s ahead', judgeClock('its', 30, DATABASE_CLOCK), 'failed', 'time server'],
    ['a registry clock 4.9 s behind', judgeClock('its', -4.9, REGISTRY_CLOCK), 'ok', '4.9 s behind'],
    ['5 s behind', judgeClock('its', -5, REGISTRY_CLOCK), 'warning', 'time server'],
    ['60 s behind', judgeClock('its', -60, REGISTRY_CLOCK), 'failed', 'tokens are refused'],
    [
      'no key of an issuer',
      judgeKeys({ url: 'https://a', document: { keys: [] } }),
      'failed',
      'https://a has no key',
    ],
    [
      'a key of an issuer',
      judgeKeys({ url: 'https://a', document: { keys: [KEY] } }),
      'ok',
      'https://a has 1 keys',
    ],
    [
      'a key that is left out',
      judgeKeys({ url: 'https://a', document: { keys: [KEY, DAMAGED] } }),
      'warning',
      'the key b is damaged',
    ],
    [
      'keys in use',
      judgeCopy({ keys: 2, age_seconds: 1499, problem: null }),
      'ok',
      '2 keys, fetched 1499 s ago',
    ],
    [
      'old keys in use',
      judgeCopy({ keys: 2, age_seconds: 1500, problem: 'x' }),
      'warning',
      "can't be asked (x)",
    ],
    [
      'no keys in use',
      judgeCopy({ keys: 0, age_seconds: null, problem: 'x' }),
      'failed',
      'answered with 503 (x)',
    ],
    ['health', judgeHealth('http://a', 200, '{"status":"ok"}'), 'ok', 'http://a'],
    ['a page', judgeHealth('http://a', 200, '<html>'), 'failed', 'http://a/healthz'],
    ['JSON of another server', judgeHealth('http://a', 200, '{"status":"UP"}'), 'failed', '200'],
    ["a proxy's 502", judgeHealth('http://a', 502, '{"status":"ok"}'), 'failed', '502'],
  ];
  for (const [what, verdict, outcome, says] of verdicts) {
    it(`${what}: ${outcome}`, () => assertVerdict(verdict, outcome, says));
  }

  const addresses: [publicUrl: string, listen: string, outcome: Outcome, says: string][] = [
    ['', '127.0.0.1:8080', 'ok', 'http://127.0.0.1:8080/jwt/auth'],
    ['', '[::1]:8080', 'ok', 'http://[::1]:8080/jwt/auth'],
    ['', '127.0.0.1:0', 'ok', 'chooses a port'],
    ['', '0.0.0.0:8080', 'warning', 'CELLPASS_PUBLIC_URL is not set'],
    ['', '10.0.0.1:0', 'warning', 'CELLPASS_PUBLIC_URL is not set'],
    ['https://auth.example.com/', '0.0.0.0:8080', 'ok', 'https://auth.example.com/jwt/auth'],
    ['http://auth.example.com', '0.0.0.0:8080', 'warning', 'https'],
    ['http://localhost:8080', '0.0.0.0:8080', 'ok', 'http://localhost:8080/jwt/auth'],
    ['http://[::1]:8080', '0.0.0.0:8080', 'ok', 'http://[::1]:8080/jwt/auth'],
    ['http://127.0.0.1.example.com', '127.0.0.1:8080', 'warning', 'https'],
  ];
  for (const [publicUrl, listen, outcome, says] of addresses) {
    it(`public URL ${publicUrl || '(none)'}, listening on ${listen}: ${outcome}`, () => {
      const config = loadConfig({ CELLPASS_PUBLIC_URL: publicUrl, CELLPASS_LISTEN: listen });
      assertVerdict(judgePublicUrl(config), outcome, says);
    });
  }

  const challenges: [header: string, realm: string | undefined, service: string | undefined][] = [
    ['Bearer realm="https://a/jwt/auth",service="reg"', 'https://a/jwt/auth', 'reg'],
    ['bearer service=reg, realm="https://a/jwt/auth", scope="x"', 'https://a/jwt/auth', 'reg'],
    ['Bearer Realm="a \\"b\\"",error="invalid_token"', 'a "b"', undefined],
    ['Basic realm="other", Bearer realm="https://a",service="reg"', 'https://a', 'reg'],
    ['Bearer realm="https://a",service="reg", Basic realm="other"', 'https://a', 'reg'],
  ];
  for (const [header, realm, service] of challenges) {
    it(`reads ${header}`, () => assert.deepEqual(parseChallenge(header), { realm, service }));
  }
  it('reads no Bearer challenge out of another', () => {
    for (const header of ['', 'Basic realm="Bearer"', 'Bearer']) {
      assert.equal(parseChallenge(header), undefined, header);
    }
  });

  const realm = 'https://auth.example.com/jwt/auth';
  const right = `Bearer realm="${realm}",service="reg"`;
  const expected = (expectedRealm: string | null) => ({
    realm: expectedRealm,
    services: ['reg', 'reg2'],
    ifOther: 'correct its url',
    ifOtherService: 'change its service',
  });
  const answers: [status: number, challenge: string | null, outcome: Outcome, says: string][] = [
    [401, right, 'ok', 'reg'],
    [401, right.replace('.com', '.com:443'), 'ok', 'reg'],
    [
      401,
      right.replace('auth.', 'old.'),
      'failed',
      `https://old.example.com/jwt/auth, but cellpass is at ${realm}`,
    ],
    [
      401,
      right.replace('"reg"', '"other"'),
      'failed',
      'other, but is configured here as reg or reg2: change its service',
    ],
    [401, 'Bearer realm="nonsense",service="reg"', 'failed', 'nonsense'],
    [401, 'Basic realm="reg"', 'failed', 'Basic realm="reg"'],
    [401, null, 'failed', 'missing'],
    [200, null, 'failed', 'asks for no token'],
    [404, null, 'failed', '404, not 401: correct its url'],
  ];
  for (const [status, challenge, outcome, says] of answers) {
    it(`a registry that answers ${status} ${challenge}: ${outcome}`, () => {
      assertVerdict(judgeChallenge('http://r', { status, challenge }, expected(realm)), outcome, says);
    });
  }
  it('compares no realm that nobody knows', () => {
    const verdict = judgeChallenge('http://r', { status: 401, challenge: right }, expected(null));
    assertVerdict(verdict, 'ok', 'reg');
  });

  const canaries: ['active' | 'pending', 'accepted' | 'refused' | 'unreachable', Outcome][] = [
    ['active', 'accepted', 'ok'],
    ['active', 'refused', 'failed'],
    ['active', 'unreachable', 'warning'],
    ['pending', 'accepted', 'ok'],
    ['pending', 'refused', 'warning'],
    ['pending', 'unreachable', 'warning'],
  ];
  for (const [state, outcome, expected] of canaries) {
    it(`the ${state} key ${outcome}: ${expected}`, () => {
      const verdict = judgeCanary(state, { registry: 'r', outcome, because: 'as it says' });
      assertVerdict(verdict, expected, outcome === 'accepted' ? 'accepts' : 'as it says');
    });
  }

  it('TLS certificates: from 14 days before their end', async () => {
    const { started } = await startedCell();
    const { certificatePem, notAfter } = started.authorities[0]!;
    const rows: [daysLeft: number, outcome: Outcome][] = [
      [15, 'ok'],
      [13, 'warning'],
      [0, 'failed'],
    ];
    for (const [days, outcome] of rows) {
      const now = new Date(notAfter.getTime() - days * 86_400_000);
      assertVerdict(judgeTls(certificatePem, now), outcome, notAfter.toISOString());
    }
  });
});

describe('doctor: the address of cellpass', () => {
  it('nobody listening is a warning, a line that breaks a failure', async () => {
    const free = `http://127.0.0.1:${await freePort()}`;
    assertVerdict(await lookForCellpass(free), 'warning', 'no server answers there');
    const server = createServer((request) => request.socket.destroy());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const broken = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      assertVerdict(await lookForCellpass(broken), 'failed', `${broken} can't be reached`);
    } finally {
      server.close();
    }
  });
});
