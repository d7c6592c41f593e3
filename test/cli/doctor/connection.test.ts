import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, fetch } from 'undici';
import { describeFailure } from '../../../src/cli/doctor/connection.ts';
import { checkRegistries } from '../../../src/cli/doctor/registries.ts';

describe('what doctor says of a connection that fails', () => {
  const servers: Server[] = [];
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'cellpass-doctor-'));
  });
  after(() => {
    for (const server of servers) server.close();
    rmSync(folder, { recursive: true });
  });

  const pair = (name: string) => {
    const [key, cert] = [join(folder, `${name}.key`), join(folder, `${name}.crt`)];
    const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    const args = ['req', '-x509', ...kind, '-days', '1', ...subject, '-keyout', key, '-out', cert];
    execFileSync('openssl', args, { stdio: 'ignore' });
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  };
  const listen = async (server: Server): Promise<number> => {
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as AddressInfo).port;
  };
  const https = (tls: { readonly key: string; readonly cert: string }): Promise<number> =>
    listen(createHttpsServer(tls, (_, response) => response.end()));
  const failureOf = async (url: string, ca?: string): Promise<string | null> => {
    const dispatcher = new Agent(ca === undefined ? {} : { connect: { ca } });
    try {
      await fetch(url, { dispatcher, signal: AbortSignal.timeout(20_000) });
      return assert.fail(`${url} answers`);
    } catch (error) {
      return describeFailure(error);
    } finally {
      await dispatcher.destroy();
    }
  };

  it('names an untrusted CA', async () => {
    const port = await https(pair('localhost'));
    assert.match(
      String(await failureOf(`https://localhost:${port}/`)),
      /does not trust the CA .*NODE_EXTRA_CA_CERTS/,
    );
  });

  it('names a certificate for another host name', async () => {
    const tls = pair('other.example.com');
    const port = await https(tls);
    const failure = await failureOf(`https://localhost:${port}/`, tls.cert);
    assert.match(String(failure), /certificate is for another host name .*other\.example\.com.*: use a name/);
  });

  it('names a refused connection', async () => {
    const server = createHttpServer();
    const port = await listen(server);
    await new Promise((resolve) => server.close(resolve));
    assert.match(
      String(await failureOf(`http://127.0.0.1:${port}/`)),
      /connection is refused.*: start it, or correct the port$/,
    );
  });

  it('names a server without TLS', async () => {
    const port = await listen(createHttpServer());
    assert.match(
      String(await failureOf(`https://127.0.0.1:${port}/`)),
      /does not speak TLS .*: correct https to http/,
    );
  });

  it('names a timeout', async () => {
    const port = await listen(createHttpServer(() => undefined));
    const error = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(50) }).catch(
      (reason: unknown) => reason,
    );
    assert.match(String(describeFailure(error)), /does not answer in time .*: look for a firewall/);
    for (const server of servers)
      if ('closeAllConnections' in server)
        (server as ReturnType<typeof createHttpServer>).closeAllConnections();
  });

  const codes: [code: string, says: RegExp][] = [
    ['ENOTFOUND', /DNS does not know its host name .*: correct the host name/],
    ['EAI_AGAIN', /DNS does not answer .*resolv\.conf/],
    ['CERT_HAS_EXPIRED', /certificate has expired .*: renew the certificate there/],
    ['CERT_NOT_YET_VALID', /not valid yet .*: correct the clock/],
    ['EHOSTUNREACH', /no route leads there/],
    ['UND_ERR_CONNECT_TIMEOUT', /does not answer in time/],
    ['SELF_SIGNED_CERT_IN_CHAIN', /does not trust the CA/],
    ['ECONNRESET', /connection was cut/],
  ];
  for (const [code, says] of codes) {
    it(`knows ${code}`, () => {
      const cause = Object.assign(new Error(`it was ${code}`), { code });
      assert.match(String(describeFailure(new TypeError('fetch failed', { cause }))), says);
    });
  }

  it('tells each cause apart, and nothing of other errors', () => {
    const said = codes.map(([code]) => describeFailure(Object.assign(new Error('x'), { code })));
    assert.equal(new Set(said).size, codes.length);
    assert.equal(describeFailure(new Error('something else')), null);
    assert.equal(describeFailure('text'), null);
  });

  it('is part of the finding about a registry', async () => {
    const port = await https(pair('registry.example.com'));
    const registry = {
      name: 'r',
      url: `https://localhost:${port}`,
      service: 's',
      insecure: false,
      trusts: null,
    };
    const [finding] = await checkRegistries([registry], null, () => new Date());
    assert.equal(finding?.outcome, 'failed');
    assert.match(finding?.message ?? '', /can't be reached: .*does not trust the CA .*NODE_EXTRA_CA_CERTS/);
  });
});
