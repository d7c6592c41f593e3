import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { get } from 'node:https';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { freePort } from '../support/database/postgres.ts';
import { makeSite, type Server, type Site } from '../support/processes/site.ts';
import { makeTls } from '../support/processes/tls.ts';

describe('the public listener with TLS', function () {
  this.timeout(60_000);
  let site: Site;
  let server: Server;
  let ca: string;
  let metrics: string;

  before(async () => {
    site = await makeSite('postgresql');
    const tls = await makeTls(site, 'cellpass.test');
    ca = await readFile(tls.CELLPASS_TLS_CERT, 'utf8');
    metrics = `127.0.0.1:${await freePort()}`;
    server = await site.serve({ ...tls, CELLPASS_METRICS_LISTEN: metrics });
  });
  after(() => site?.remove());

  it('answers by https', async () => {
    const [response] = await once(get(`${server.url}/healthz`, { ca }), 'response');
    response.resume();
    assert.equal(response.statusCode, 200);
  });

  it('measures when its certificate ends', async () => {
    const text = await (await fetch(`http://${metrics}/metrics`)).text();
    const end = Date.parse(new X509Certificate(ca).validTo) / 1000;
    assert.match(text, new RegExp(`^cellpass_tls_certificate_expiry_timestamp_seconds ${end}$`, 'm'));
  });

  it('security check 21: answers nothing in the clear', async () => {
    const socket = connect(server.port, '127.0.0.1');
    socket.write('GET /healthz HTTP/1.1\r\nHost: cellpass.test\r\nConnection: close\r\n\r\n');
    let answer = '';
    socket.setEncoding('latin1').on('data', (text) => {
      answer += text;
    });
    socket.on('error', () => undefined);
    await once(socket, 'close');
    assert.doesNotMatch(answer, /HTTP\/1\.1 200|"status"/);
  });

  it('security check 21: speaks no version of TLS before 1.2', async () => {
    const socket = connectTls({
      port: server.port,
      host: '127.0.0.1',
      ca,
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    const [error] = await once(socket, 'error');
    assert.match(String(error.code), /ALERT_PROTOCOL_VERSION$/);
  });
});
