import assert from 'node:assert/strict';
import { idTokenKey } from '../../../src/authn/federation/id-token.ts';
import {
  forgetFederation,
  markExchanged,
  readRevocations,
  revokeIdToken,
} from '../../../src/store/federation/revocations.ts';
import { describeOnBoth } from '../../support/directory/document.ts';

const END = new Date('2026-11-28T12:00:00Z');
const after = (seconds: number): Date => new Date(END.getTime() + seconds * 1000);
const tokenOf = (jti: string) => ({ token: { issuer: 'ci', jti }, key: idTokenKey('ci', jti) });

describeOnBoth('what is known of ID tokens', (directory) => {
  // The replica that deletes may be 30 s fast, and the one that verifies 30 s slow.
  const moments: [seconds: number, isKept: boolean][] = [
    [-1, true],
    [0, true],
    [60, true],
    [119, true],
    [120, false],
  ];
  for (const [seconds, isKept] of moments) {
    const what = isKept ? 'is kept' : 'is forgotten';

    it(`${what} ${seconds} s after the end of one that was exchanged`, async () => {
      const { database } = directory;
      const { key } = tokenOf(`exchanged-${seconds}`);
      assert.equal(await markExchanged(database, key, END), true);
      await forgetFederation(database, after(seconds));
      assert.equal(await markExchanged(database, key, END), !isKept);
    });

    it(`${what} ${seconds} s after the end of one that was revoked`, async () => {
      const { database } = directory;
      const { token, key } = tokenOf(`revoked-${seconds}`);
      await revokeIdToken(database, token, { now: after(-60), keptUntil: END });
      await forgetFederation(database, after(seconds));
      assert.equal((await readRevocations(database, [], key)).idToken, isKept);
    });

    it(`${what} ${seconds} s after the end of an access token`, async () => {
      const { database } = directory;
      await directory.apply({
        users: [{ username: 'bot', kind: 'service_account' }],
        access_tokens: [
          {
            kind: 'personal',
            name: 'ci',
            user: 'bot',
            scopes: ['read_registry'],
            token: 'glpat-example-0000000001',
          },
        ],
      });
      const count = async (): Promise<number> => (await directory.query('SELECT FROM access_tokens')).length;
      await forgetFederation(database, after(seconds));
      // One that a document made has no moment at which it ends.
      assert.equal(await count(), 1);
      await database.query('UPDATE access_tokens SET ends_at = $1', [END]);
      await forgetFederation(database, after(seconds));
      assert.equal(await count(), isKept ? 1 : 0);
    });
  }
});
