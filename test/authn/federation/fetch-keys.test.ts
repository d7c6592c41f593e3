import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { fetchKeySet, fetchKeys } from '../../../src/authn/federation/fetch-keys.ts';
import type { KeyLocation } from '../../../src/config/federation.ts';
import { makeTestCa, type TestCa } from '../../support/topology/service.ts';

const JWKS = { keys: [{ kty: 'RSA', n: 'AQAB', e: 'AQAB', kid: 'a' }] };

describe("fetching an issuer's keys", () => {
  let ca: TestCa;
  let server: Server;
  let origin: string;
  let asked: string[] = [];
  let answer: (path: string, response: ServerResponse, request: IncomingMessage) => void;
  before(async () => {
    ca = makeTestCa();
    const { certFile, keyFile } = ca.issue('issuer');
    server = createServer(
      { cert: readFileSync(certFile), key: readFileSync(keyFile) },
      (request, response) => {
        asked.push(request.url ?? '');
        answer(request.url ?? '', response, request);
      },
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    origin = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  beforeEach(() => {
    asked = [];
  });
  after(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    ca.remove();
  });

  const json =
    (value: unknown, status = 200) =>
    (_: string, response: ServerResponse): void => {
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
    };
  /** By path; others are 404. */
  const routes = (answers: Readonly<Record<string, (path: string, response: ServerResponse) => void>>) => {
    answer = (path, response) => (answers[path] ?? json({}, 404))(path, response);
  };
  const fetch = (keys: Partial<KeyLocation> = {}, issuer = origin): Promise<unknown> =>
    fetchKeys({ issuer, keys: { jwksUri: null, fallbackUri: null, caFile: ca.caFile, ...keys } });
  const DISCOVERY = '/.well-known/openid-configuration';

  it('reads the discovery document, and the keys that it names', async () => {
    routes({ [DISCOVERY]: json({ issuer: origin, jwks_uri: `${origin}/keys` }), '/keys': json(JWKS) });
    assert.deepEqual(await fetch(), JWKS);
    assert.deepEqual(asked, [DISCOVERY, '/keys']);
  });

  it('reads it below the path of the issuer, without a slash twice', async () => {
    const issuer = `${origin}/org/1/`;
    routes({ [`/org/1${DISCOVERY}`]: json({ issuer, jwks_uri: `${origin}/keys` }), '/keys': json(JWKS) });
    assert.deepEqual(await fetch({}, issuer), JWKS);
  });

  it('asks for no discovery where the address of the keys is given', async () => {
    routes({ '/jwks': json(JWKS) });
    assert.deepEqual(await fetch({ jwksUri: `${origin}/jwks` }), JWKS);
    assert.deepEqual(asked, ['/jwks']);
  });

  it('tells the address of the keys, and the time of their answer', async () => {
    routes({ '/jwks': json(JWKS) });
    const keys = { jwksUri: `${origin}/jwks`, fallbackUri: null, caFile: ca.caFile };
    const { url, date } = await fetchKeySet({ issuer: origin, keys });
    assert.equal(url, `${origin}/jwks`);
    assert.ok(Math.abs(date!.getTime() - Date.now()) < 60_000);
  });

  it('trusts nobody where the CA file is empty, as it is while it is written', async () => {
    routes({ '/jwks': json(JWKS) });
    const caFile = `${ca.caFile}.empty`;
    for (const text of ['', 'no certificate']) {
      writeFileSync(caFile, text);
      await assert.rejects(fetch({ jwksUri: `${origin}/jwks`, caFile }), /holds no certificate in PEM/);
    }
    rmSync(caFile);
  });

  for (const date of [null, 'soon', '']) {
    it(`tells no time where the issuer tells ${date === null ? 'none' : `"${date}"`}`, async () => {
      answer = (_, response) => {
        response.sendDate = false;
        if (date !== null) response.setHeader('Date', date);
        response.end('{}');
      };
      const keys = { jwksUri: `${origin}/jwks`, fallbackUri: null, caFile: ca.caFile };
      assert.equal((await fetchKeySet({ issuer: origin, keys })).date, null);
    });
  }

  const fallbacks: [what: string, discovery: () => (path: string, response: ServerResponse) => void][] = [
    ['there is no discovery document', () => json({}, 404)],
    ['discovery is forbidden', () => json({}, 403)],
    [
      'it names keys on another origin',
      () => json({ issuer: origin, jwks_uri: 'https://10.0.0.1:6443/openid/v1/jwks' }),
    ],
  ];
  for (const [what, discovery] of fallbacks) {
    it(`asks at the other known place where ${what}`, async () => {
      routes({ [DISCOVERY]: discovery(), '/openid/v1/jwks': json(JWKS) });
      assert.deepEqual(await fetch({ fallbackUri: `${origin}/openid/v1/jwks` }), JWKS);
      await assert.rejects(fetch());
    });
  }

  const wrong: [what: string, discovery: () => object, says: RegExp][] = [
    [
      'is of another issuer',
      () => ({ issuer: 'https://evil.example.com', jwks_uri: `${origin}/keys` }),
      /is of another issuer/,
    ],
    [
      'is of the issuer with a slash',
      () => ({ issuer: `${origin}/`, jwks_uri: `${origin}/keys` }),
      /is of another issuer/,
    ],
    ['names no issuer', () => ({ jwks_uri: `${origin}/keys` }), /is of another issuer/],
    ['names no keys', () => ({ issuer: origin }), /has no jwks_uri/],
    [
      'names keys elsewhere',
      () => ({ issuer: origin, jwks_uri: 'https://evil.example.com/keys' }),
      /another origin.*set jwks_uri/,
    ],
    [
      'names keys without TLS',
      () => ({ issuer: origin, jwks_uri: `${origin.replace('https', 'http')}/keys` }),
      /another origin/,
    ],
    ['is a list', () => [], /is of another issuer/],
    ['is nothing', () => JSON.parse('null'), /is of another issuer/],
  ];
  for (const [what, discovery, says] of wrong) {
    it(`refuses a discovery document that ${what}`, async () => {
      routes({ [DISCOVERY]: json(discovery()), '/keys': json(JWKS) });
      await assert.rejects(fetch(), says);
    });
  }

  it('says in few characters what is wrong, whatever the issuer answers', async () => {
    const jwks_uri = `https://${'a.'.repeat(20_000)}example.com/keys`;
    routes({ [DISCOVERY]: json({ issuer: origin, jwks_uri }) });
    await assert.rejects(
      fetch(),
      ({ message }: Error) => message.length <= 300 && /set jwks_uri$/.test(message),
    );
  });

  it('does not fall back where the discovery document is of another issuer', async () => {
    routes({ [DISCOVERY]: json({ issuer: 'https://evil.example.com' }), '/openid/v1/jwks': json(JWKS) });
    await assert.rejects(fetch({ fallbackUri: `${origin}/openid/v1/jwks` }), /another issuer/);
  });

  it('follows no redirect', async () => {
    answer = (_, response) => response.writeHead(302, { Location: '/elsewhere' }).end();
    await assert.rejects(fetch({ jwksUri: `${origin}/jwks` }), /answered 302/);
    assert.deepEqual(asked, ['/jwks']);
  });

  it('takes no answer over 64 KB', async () => {
    answer = (_, response) => response.end(JSON.stringify({ keys: ['x'.repeat(65_536)] }));
    await assert.rejects(fetch({ jwksUri: `${origin}/jwks` }));
  });

  it('takes no answer that is no JSON', async () => {
    answer = (_, response) => response.end('<html>');
    await assert.rejects(fetch({ jwksUri: `${origin}/jwks` }), /answered no JSON/);
  });

  it('waits for 3 s, whether nothing comes or never enough', async function () {
    // Without the limit it would take minutes.
    this.timeout(30_000);
    const timers: NodeJS.Timeout[] = [];
    const drip = (_: string, response: ServerResponse): void => {
      response.write('{');
      timers.push(setInterval(() => response.write(' '), 200));
    };
    for (const slow of [() => undefined, drip]) {
      answer = slow;
      await assert.rejects(fetch({ jwksUri: `${origin}/jwks` }));
    }
    for (const timer of timers) clearInterval(timer);
  });

  it('trusts the CA of the settings alone', async () => {
    routes({ '/jwks': json(JWKS) });
    await assert.rejects(fetch({ jwksUri: `${origin}/jwks`, caFile: null }));
  });

  it('sends no cookie, and asks for JSON', async () => {
    let headers: IncomingMessage['headers'] = {};
    answer = (path, response, request) => {
      headers = request.headers;
      json(JWKS)(path, response);
    };
    await fetch({ jwksUri: `${origin}/jwks` });
    assert.deepEqual([headers.accept, headers.cookie], ['application/json', undefined]);
  });
});
