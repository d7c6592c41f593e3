import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readCertificates, readPrivateKey } from '../../src/config/pem-files.ts';
import { makeTestCa, type TestCa } from '../support/topology/service.ts';

describe('PEM files for TLS', () => {
  let ca: TestCa;
  let certificate: string;
  let key: string;
  before(() => {
    ca = makeTestCa();
    const { certFile, keyFile } = ca.issue('server');
    [certificate, key] = [readFileSync(certFile, 'utf8'), readFileSync(keyFile, 'utf8')];
  });
  after(() => ca.remove());
  const written = (text: string): string => {
    const file = join(ca.dir, 'written.pem');
    writeFileSync(file, text);
    return file;
  };
  const openssl = (...args: readonly string[]): string =>
    execFileSync('openssl', [...args], { input: certificate, encoding: 'utf8' });

  const WHOLE: readonly (readonly [what: string, text: () => string])[] = [
    ['one certificate', () => certificate],
    ['several', () => certificate + readFileSync(ca.caFile, 'utf8')],
    ['a certificate below its key', () => key + certificate],
    ['a certificate with text before it', () => openssl('x509', '-text')],
    ['a certificate of a trust store', () => openssl('x509', '-trustout')],
    ['lines that end as on Windows', () => certificate.replaceAll('\n', '\r\n')],
  ];
  for (const [what, text] of WHOLE) {
    it(`take ${what}, as it is`, () => {
      assert.equal(readCertificates(written(text())), text());
    });
  }

  const BROKEN: readonly (readonly [what: string, text: () => string, problem: RegExp])[] = [
    ['nothing', () => '', /holds no certificate in PEM/],
    ['a key alone', () => key, /holds no certificate in PEM/],
    ['the first half of one', () => certificate.slice(0, 200), /holds no certificate in PEM/],
    ['the last half of one', () => certificate.slice(200), /holds no certificate in PEM/],
    ['one and a half', () => certificate + certificate.slice(0, 200), /damaged or cut off/],
    ['one with bytes that are missing', () => certificate.replace(/\n.{12}/, '\n'), /damaged or cut off/],
  ];
  for (const [what, text, problem] of BROKEN) {
    it(`refuse ${what}, and name the file`, () => {
      const file = written(text());
      assert.throws(() => readCertificates(file), problem);
      assert.throws(() => readCertificates(file), /written\.pem/);
    });
  }

  it('take a key, also beside its certificate, and refuse what holds none', () => {
    for (const text of [key, key + certificate, certificate + key])
      assert.equal(readPrivateKey(written(text)), text);
    for (const text of ['', certificate, key.slice(0, 100)])
      assert.throws(() => readPrivateKey(written(text)), /written\.pem holds no private key in PEM/);
  });
});
