import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { makeTestCa } from '../topology/service.ts';
import { createMemoryIssuer, type MemoryIssuer, type MemoryIssuerOptions } from './issuer.ts';

/** An issuer of ID tokens that publishes its keys by HTTPS on loopback, as OpenID Connect has it. */
export interface Provider {
  /** The claim `iss`, and the URL of the provider. */
  readonly url: string;
  /** PEM: who signed its certificate. */
  readonly caFile: string;
  readonly sign: MemoryIssuer['sign'];
  /** How often it was asked for its keys. */
  readonly asked: number;
  /** False: it answers 503 to everything. */
  isUp: boolean;
  close(): Promise<void>;
}

/** Its own, and those where presets look. */
const KEY_PATHS: ReadonlySet<string> = new Set(['/jwks', '/oauth/discovery/keys', '/openid/v1/jwks']);

export async function startProvider(options: MemoryIssuerOptions = {}): Promise<Provider> {
  const ca = makeTestCa();
  const { certFile, keyFile } = ca.issue('issuer');
  const tls = { cert: readFileSync(certFile), key: readFileSync(keyFile) };
  let answer = (_path: string): object | null => null;
  const server = createServer(tls, ({ url = '' }, response) => {
    const body = answer(url);
    response.writeHead(body === null ? 503 : 200, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify(body ?? {}));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const issuer = await createMemoryIssuer({ ...options, settings: { issuer: url, ...options.settings } });
  let asked = 0;
  const provider = {
    url,
    caFile: ca.caFile,
    sign: issuer.sign,
    get asked() {
      return asked;
    },
    isUp: true,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      ca.remove();
    },
  };
  answer = (path) => {
    if (!provider.isUp) return null;
    if (path === '/.well-known/openid-configuration') return { issuer: url, jwks_uri: `${url}/jwks` };
    if (!KEY_PATHS.has(path)) return null;
    asked += 1;
    return issuer.jwks;
  };
  return provider;
}
