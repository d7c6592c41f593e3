import assert from 'node:assert/strict';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import type { Response } from 'supertest';
import type { Claims, TestServer } from './server.ts';

const REQUEST_ID = /^request [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Verifies an issued token as a registry does, and returns its claims. */
export async function claimsOf(server: TestServer, response: Response, audience?: string): Promise<Claims> {
  assert.equal(response.status, 200, response.text);
  return server.verify(response.body.token, audience === undefined ? {} : { audience });
}

/** The access of a token, as scopes: `repository:acme/app:pull,push`. */
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

/**
 * Asserts that the answer is an error in the form that all clients understand, and returns its
 * message.
 */
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
