import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { clientGone } from '../../../src/http/token/client-gone.ts';

describe('a client that goes away', () => {
  it('is noticed when it goes, and also when it went before anybody looked', async () => {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
    client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    const [, response]: [unknown, ServerResponse] = (await once(server, 'request')) as never;
    const signal = clientGone(response);
    assert.equal(signal.aborted, false);
    client.destroy();
    await once(signal, 'abort');
    assert.equal(clientGone(response).aborted, true);
    server.close();
  });
});
