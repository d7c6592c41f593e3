import { readFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair } from 'jose';
import { makeTestCa, type TestCa } from '../topology/service.ts';

/** An OpenID provider of somebody else's making, whose jobs get ID tokens for an audience. */
export interface RealProvider {
  readonly url: string;
  readonly ca: TestCa;
  /** Asks its token endpoint, as a job of a CI system does. */
  idToken(): Promise<string>;
  close(): Promise<void>;
}

const GRANT = 'urn:example:job';

/** @param audience as OpenID Connect has it, the id of the client that asks. */
export async function startRealProvider(
  audience: string,
  claims: Record<string, unknown>,
): Promise<RealProvider> {
  // @ts-expect-error: it has no types of its own; `ProviderModule` has what is used here.
  const { default: Provider }: ProviderModule = await import('oidc-provider');
  const ca = makeTestCa();
  const { certFile, keyFile } = ca.issue('provider');
  let handle: RequestListener = () => undefined;
  const server = createServer(
    { cert: readFileSync(certFile), key: readFileSync(keyFile) },
    (request, response) => void handle(request, response),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  const provider = new Provider(url, {
    jwks: { keys: [{ ...(await exportJWK(privateKey)), use: 'sig', alg: 'RS256', kid: 'signing' }] },
    clients: [
      {
        client_id: audience,
        token_endpoint_auth_method: 'none',
        redirect_uris: [],
        response_types: [],
        grant_types: [GRANT],
      },
    ],
    features: { devInteractions: { enabled: false } },
    ttl: { IdToken: 600 },
  });
  provider.registerGrantType(GRANT, async (ctx: JobContext) => {
    const token = new ctx.oidc.provider.IdToken({}, { ctx });
    for (const [name, value] of Object.entries(claims)) token.set(name, value);
    ctx.body = { id_token: await token.issue({ use: 'idtoken' }) };
  });
  handle = provider.callback();
  return {
    url,
    ca,
    idToken: () =>
      askForToken(url, ca.caFile, new URLSearchParams({ grant_type: GRANT, client_id: audience })),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      ca.remove();
    },
  };
}

interface ProviderModule {
  readonly default: new (
    issuer: string,
    configuration: object,
  ) => {
    registerGrantType(name: string, handler: (context: JobContext) => Promise<void>): void;
    callback(): RequestListener;
  };
}

/** What this uses of the context of a grant. */
interface JobContext {
  body: unknown;
  readonly oidc: {
    readonly provider: {
      readonly IdToken: new (
        claims: object,
        options: object,
      ) => { set(name: string, value: unknown): void; issue(options: object): Promise<string> };
    };
  };
}

async function askForToken(url: string, caFile: string, form: URLSearchParams): Promise<string> {
  const { Agent, request } = await import('undici');
  const dispatcher = new Agent({ connect: { ca: readFileSync(caFile, 'utf8') } });
  const { statusCode, body } = await request(`${url}/token`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
    body: form.toString(),
    dispatcher,
  });
  const answer = await body.text();
  await dispatcher.close();
  if (statusCode !== 200) throw new Error(`the provider answered ${statusCode}: ${answer}`);
  return JSON.parse(answer).id_token;
}
