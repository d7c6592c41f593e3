import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { passwordHashing } from '../../src/authn/password-schemes.ts';
import { deriveKeys } from '../../src/store/source/gitlab/keys.ts';
import { needs } from '../support/e2e/bench.ts';
import { debianTool } from '../support/e2e/tools.ts';
import { runToEnd } from '../support/processes/child.ts';

/** What GitLab computes, by the libraries that it computes it with; prints JSON. */
const SCRIPT = `
  require 'base64'; require 'bcrypt'; require 'digest'; require 'encryptor'; require 'json'; require 'openssl'
  input = JSON.parse(STDIN.read)
  key = input['key'][0, 32]
  seal = ->(text, iv) { Encryptor.encrypt(value: text, key: key, iv: iv, algorithm: 'aes-256-gcm') }
  nonce = Digest::SHA256.hexdigest(input['secret'])[0, 12]
  puts JSON.generate(
    digest: Digest::SHA256.base64digest(input['secret'] + key),
    dynamic: '|' + Base64.strict_encode64(seal.(input['secret'], nonce)) + nonce,
    static: Base64.strict_encode64(seal.(input['secret'], key[0, 12])),
    attribute: seal.(input['secret'], input['iv']).unpack1('H*'),
    bcrypt: BCrypt::Password.create(input['secret'], cost: 4).to_s)
`;

interface Computed {
  readonly digest: string;
  readonly dynamic: string;
  readonly static: string;
  /** Hexadecimal. */
  readonly attribute: string;
  readonly bcrypt: string;
}

describe("what Ruby's own libraries make of a secret", function () {
  this.timeout(60_000);
  needs(() => debianTool('ruby'));

  const SECRETS = ['glpat-', 'gldt-', 'glcbt-64_', ''].map(
    (prefix) => `${prefix}${randomBytes(10).toString('hex')}`,
  );
  for (const secret of SECRETS) {
    it(`is what cellpass looks for (${secret.slice(0, 6)}…)`, async () => {
      const key = randomBytes(64).toString('hex');
      const input = JSON.stringify({ key, secret, iv: 'twelve bytes' });
      const { code, stdout, stderr } = await runToEnd('ruby', ['-e', SCRIPT], { input });
      assert.equal(code, 0, stderr);
      const ruby: Computed = JSON.parse(stdout);
      const keys = deriveKeys([key]);
      assert.deepEqual(keys.accessTokenDigests(secret), [ruby.digest]);
      assert.deepEqual(keys.encryptedTokens(secret), [ruby.dynamic, ruby.static]);
      const opened = keys.decryptAttribute(Buffer.from(ruby.attribute, 'hex'), Buffer.from('twelve bytes'));
      assert.equal(opened?.toString(), secret);
      assert.equal(await passwordHashing.verify(ruby.bcrypt, secret), true);
      assert.equal(await passwordHashing.verify(ruby.bcrypt, `${secret}x`), false);
    });
  }
});
