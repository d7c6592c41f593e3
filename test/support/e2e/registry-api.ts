import assert from 'node:assert/strict';
import { decodeJwt } from 'jose';
import type { Credentials } from './directory.ts';
import type { Blob, OciImage } from './oci-image.ts';

export interface TokenRequest {
  readonly realm: string;
  readonly service: string;
  readonly scopes: readonly string[];
  readonly credentials?: Credentials;
}

/** The token server's answer. */
export interface TokenAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
  readonly tookMs: number;
}

/** Asks the token server for a token, as a client does. */
export async function askForToken({
  realm,
  service,
  scopes,
  credentials,
}: TokenRequest): Promise<TokenAnswer> {
  const query = new URLSearchParams({ service });
  for (const scope of scopes) query.append('scope', scope);
  const headers: Record<string, string> = {};
  if (credentials !== undefined) {
    const pair = `${credentials.username}:${credentials.password}`;
    headers['authorization'] = `Basic ${Buffer.from(pair).toString('base64')}`;
  }
  const begun = performance.now();
  const response = await fetch(`${realm}?${query}`, { headers });
  const body = await response.text();
  return { status: response.status, headers: response.headers, body, tookMs: performance.now() - begun };
}

/** Asks as `askForToken` does, asserts a 200, and returns the token. */
export async function fetchToken(request: TokenRequest): Promise<string> {
  const { status, body } = await askForToken(request);
  assert.equal(status, 200, body);
  const { token }: { token: string } = JSON.parse(body);
  return token;
}

/** What a token grants, as `name:action,action`. */
export function accessIn(token: string): string[] {
  const { access } = decodeJwt<{ access: { name: string; actions: string[] }[] }>(token);
  return access.map(({ name, actions }) => `${name}:${actions.join(',')}`);
}

/** Requests to one registry with one token, as in the distribution specification. */
export class RegistryApi {
  readonly #base: string;
  readonly #token: string;

  constructor(host: string, token: string) {
    this.#base = `http://${host}/v2/`;
    this.#token = token;
  }

  async upload(repository: string, image: OciImage): Promise<void> {
    for (const blob of [image.config, ...image.layers]) await this.#uploadBlob(repository, blob);
    const response = await this.#send('PUT', `${repository}/manifests/${image.tag}`, {
      headers: { 'content-type': image.mediaType },
      body: image.manifest.bytes,
    });
    assert.equal(response.status, 201, await response.text());
  }

  /** Asks to mount a blob from another repository; status 201: mounted, 202: not mounted. */
  mount(repository: string, digest: string, from: string): Promise<Response> {
    const query = new URLSearchParams({ mount: digest, from });
    return this.#send('POST', `${repository}/blobs/uploads/?${query}`);
  }

  hasBlob(repository: string, digest: string): Promise<Response> {
    return this.#send('HEAD', `${repository}/blobs/${digest}`);
  }

  manifest(repository: string, image: OciImage): Promise<Response> {
    return this.#send('GET', `${repository}/manifests/${image.tag}`, {
      headers: { accept: image.mediaType },
    });
  }

  ping(): Promise<Response> {
    return this.#send('GET', '');
  }

  async #uploadBlob(repository: string, { digest, bytes }: Blob): Promise<void> {
    const begun = await this.#send('POST', `${repository}/blobs/uploads/`);
    assert.equal(begun.status, 202, await begun.text());
    const location = new URL(begun.headers.get('location') ?? '', this.#base);
    location.searchParams.set('digest', digest);
    const done = await this.#send('PUT', location.href, {
      headers: { 'content-type': 'application/octet-stream' },
      body: bytes,
    });
    assert.equal(done.status, 201, await done.text());
  }

  #send(
    method: string,
    path: string,
    request: { headers?: Record<string, string>; body?: Buffer } = {},
  ): Promise<Response> {
    const headers = { ...request.headers, authorization: `Bearer ${this.#token}` };
    return fetch(new URL(path, this.#base), { method, headers, body: request.body ?? null });
  }
}
