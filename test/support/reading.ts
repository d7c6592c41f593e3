import assert from 'node:assert/strict';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import type { Response } from 'supertest';
import type { Claims, TestServer } from './server.ts';

const REQUEST_ID = /^request [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The claims of a token that was issued, verified as a registry would. */
export async function claimsOf(server: TestServer, response: Response, audience?: string): Promise<Claims> {
  assert.equal(response.status, 200, response.text);
  return server.verify(response.body.token, audience === undefined ? {} : { audience });
}

/** What a token grants, as scopes: `repository:acme/app:pull,push`. */
export async function grantedBy(server: TestServer, response: Response): Promise<readonly string[]> {
  const { access } = await claimsOf(server, response);
  return access.map(({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`);
}

export function headerOf(response: Response) {
  return decodeProtectedHeader(response.body.token);
}

/** The nested JWT of the claim `user`, not verified. */
export function userOf(claims: Claims) {
  return { header: decodeProtectedHeader(claims.user), claims: decodeJwt(claims.user) };
}

/** The error in the one form that every client understands; answers its message. */
export function assertError(
  response: Pick<Response, 'status' | 'headers' | 'body'>,
  status: number,
  code: string,
): string {
  assert.deepEqual([response.status, response.body.errors?.[0]?.code], [status, code]);
  assert.match(response.headers['content-type'] ?? '', /^application\/json/);
  const [error, ...others] = response.body.errors;
  assert.deepEqual([Object.keys(error), others], [['code', 'message', 'detail'], []]);
  assert.match(error.detail, REQUEST_ID);
  return error.message;
}
