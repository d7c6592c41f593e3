import assert from 'node:assert/strict';
import fc from 'fast-check';
import { mintRoutableToken, type Routing, readRoutableToken } from '../../src/cells/routable-token.ts';

const MAXIMUM =
  '++++++++++++++++++++LB4hkKqprRab1Y3A72WqTPSDo2FS1t1qgJTIhL2O_kp90C8s8cL55xHQtmr-eVFugNkcwt0PZgzKqS3RI2ku4fBjOjN3NWUxMTI2NHNnc2YKZzozdzVlMTEyNjRzZ3NmCmg6M3c1ZTExMjY0c2dzZgpqOjN3NWUxMTI2NHNnc2YKazozdzVlMTEyNjRzZ3NmCmw6M3c1ZTExMjY0c2dzZgptOjN3NWUxMTI2NHNnc2YKbzozdzVlMTEyNjRzZ3NmCnA6M3c1ZTExMjY0c2dzZgp1OjN3NWUxMTI2NHNnc2af.01.8c0kai99b';
const LARGE = 18_446_744_073_709_551_615n;

/** Examples of the format, no secrets of anybody. */
const VECTORS: [token: string, routing: Routing, prefix: string][] = [
  ['EL25d_AKXDUtqLnIQHEpkG86MQM.01.0r1ajj2i3', { o: 1n }, ''],
  ['bzoxd_Rb5_cHeWe1JH56wr2FCBA.0r1pum4t4', { o: 1n }, ''],
  [MAXIMUM, { c: LARGE, g: LARGE, o: LARGE, p: LARGE, u: LARGE }, '+'.repeat(20)],
  ['glpat-HyYtNDtCSVBXXmVsc3qBiGM6MQpvOjEKdTpiCw.01.1218qvrvn', { c: 1n, o: 1n, u: 11n }, 'glpat-'],
  ['glpat-PkVMU1phaG92fYSLkpmgp2M6MgpvOjEKdTpiCw.01.120i5c8o7', { c: 2n, o: 1n, u: 11n }, 'glpat-'],
  ['gldt-fIOKkZifpq20u8LJ0Nfe5WM6MgpvOjEKcDoydAw.01.1311rcdx0', { c: 2n, o: 1n, p: 101n }, 'gldt-'],
  ['glpat-YzoyCm86MQp1OmKboqmwt77FzNPa4ejv9v0EEA.120pzt5ik', { c: 2n, o: 1n, u: 11n }, 'glpat-'],
];

describe('routable tokens', () => {
  for (const [token, routing, prefix] of VECTORS) {
    it(`reads ${token.slice(0, 40)}`, () => {
      assert.deepEqual(readRoutableToken(token), { kind: 'routable', prefix, routing });
    });

    it(`sees that ${token.slice(0, 40)} is damaged, whichever character it is`, () => {
      for (let i = 0; i < token.length; i++) {
        const other = token[i] === 'x' ? 'y' : 'x';
        if (token[i] === '.') continue;
        const changed = token.slice(0, i) + other + token.slice(i + 1);
        assert.notEqual(readRoutableToken(changed).kind, 'routable', changed);
      }
      const last = token.endsWith('0') ? '1' : '0';
      assert.equal(readRoutableToken(token.slice(0, -1) + last).kind, 'damaged');
    });
  }

  for (const secret of [
    '',
    'correct horse',
    'glpat-example-token-0001',
    'glpat-x.01.0r1ajj2i3',
    `glpat-${'a'.repeat(400)}.01.8c0kai99b`,
  ]) {
    it(`takes ${secret.slice(0, 30) || '(nothing)'} for an opaque secret`, () => {
      assert.deepEqual(readRoutableToken(secret), { kind: 'opaque' });
    });
  }

  it('reads what it mints, which is never the same twice', () => {
    const id = fc.bigInt({ min: 0n, max: LARGE });
    const routing = fc.record(
      { c: id, o: id, g: id, p: id, u: id },
      { requiredKeys: ['c', 'o'], noNullPrototype: true },
    );
    fc.assert(
      fc.property(fc.constantFrom('glpat-', 'gldt-', 'glcbt-', ''), routing, (prefix, given) => {
        const token = mintRoutableToken(prefix, given);
        assert.ok(token.startsWith(prefix));
        assert.deepEqual(readRoutableToken(token), { kind: 'routable', prefix, routing: given });
        assert.notEqual(mintRoutableToken(prefix, given), token);
      }),
      { numRuns: 1000 },
    );
  });

  it('survives any text', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 400 }), (text) => {
        assert.notEqual(readRoutableToken(text).kind, 'routable');
      }),
      { numRuns: 5000 },
    );
  });
});
