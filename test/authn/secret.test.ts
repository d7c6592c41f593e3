import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { inspect } from 'node:util';
import { questionOf } from '../../src/authn/credential-kinds.ts';
import { Secret } from '../../src/authn/secret.ts';

describe('the secret of a request', () => {
  const TEXT = 'glpat-example-of-a-secret';
  const secret = new Secret(TEXT);

  const shown: [how: string, text: string][] = [
    ['as JSON', JSON.stringify({ secret })],
    ['by util.inspect', inspect({ secret }, { showHidden: true, depth: 9 })],
    ['as text', `${secret}`],
    ['joined to text', ['the secret', secret].join(' ')],
    ['by its own members', JSON.stringify(Object.entries(secret))],
    ['in the question that carries it', inspect(questionOf({ username: 'alice', password: TEXT }))],
  ];
  for (const [how, text] of shown) {
    it(`is not shown ${how}`, () => {
      assert.ok(!text.includes(TEXT), text);
    });
  }

  it('is replaced by a mark', () => {
    assert.deepEqual([`${secret}`, secret.toJSON(), inspect(secret)], Array(3).fill('[redacted]'));
  });

  it('gives itself, or its SHA-256, to a source that looks it up', () => {
    assert.equal(secret.reveal(), TEXT);
    const digest = createHash('sha256').update(TEXT).digest();
    assert.deepEqual([secret.sha256(), secret.sha256()], [digest, digest]);
  });
});
