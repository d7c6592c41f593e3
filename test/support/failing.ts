import { randomBytes } from 'node:crypto';
import type { Response } from 'supertest';
import type { Config } from '../../src/config/load.ts';
import { startTestServer, type TestServer, type TestServerOptions } from './server.ts';

const random = (prefix = ''): string => prefix + randomBytes(12).toString('hex');

/** The secrets of the users, new in every run. */
export const SECRETS = {
  password: random(),
  token: random('glpat-'),
  deployToken: random('gldt-'),
  job: random('glcbt-'),
};

export const DIRECTORY = {
  users: [
    { username: 'alice', password: SECRETS.password },
    { username: 'bob', email: 'bob@example.com', password: SECRETS.password },
  ],
  groups: [{ path: 'acme', members: [{ user: 'bob', role: 'developer' }] }],
  projects: [{ path: 'acme/app', id: 101, visibility: 'public' }],
  access_tokens: [
    { name: 'a', kind: 'personal', user: 'bob', scopes: ['read_registry'], token: SECRETS.token },
    // A token without a prefix, which could be a password.
    { name: 'b', kind: 'personal', user: 'bob', scopes: ['read_registry'], token: SECRETS.token.slice(6) },
  ],
  deploy_tokens: [
    { username: 'puller', group: 'acme', scopes: ['read_registry'], token: SECRETS.deployToken },
  ],
  job_tokens: [{ project: 'acme/app', user: 'bob', token: SECRETS.job }],
};

export const VALID_TOKENS: readonly (readonly [what: string, username: string, token: string])[] = [
  ['an access token', 'bob', SECRETS.token],
  ['an access token of an older form', 'bob', SECRETS.token.slice(6)],
  ['a deploy token', 'puller', SECRETS.deployToken],
  ['a job token', 'gitlab-ci-token', SECRETS.job],
  ['an access token behind the user name of jobs', 'gitlab-ci-token', SECRETS.token],
];

/** A low limit on failed attempts, which tests reach fast. */
export const LIMITS: Config['limits']['failedAttempts'] = { perAddress: 10, perAccount: 4, seconds: 180 };

/**
 * Returns a function that starts servers with a directory, by default `DIRECTORY`. They are closed
 * after the `describe` in which this is called.
 */
export function serversToFailAt(): (
  options: TestServerOptions,
  /** Null: another server has applied a directory to the same database. */
  directory?: object | null,
) => Promise<TestServer> {
  const servers: TestServer[] = [];
  after(async () => {
    for (const server of servers) await server.close();
  });
  return async (options, directory = DIRECTORY) => {
    const server = await startTestServer(options);
    servers.push(server);
    if (directory !== null) await server.apply(directory);
    return server;
  };
}

let addresses = 0;

/** A new address, which no test has used. */
export function newAddress(): string {
  addresses += 1;
  return `192.0.2.${addresses}`;
}

export const guess = (
  server: TestServer,
  username: string,
  ip: string,
  password = random(),
): Promise<Response> => Promise.resolve(server.ask({ as: [username, password], ip }));

export const logIn = (server: TestServer, username: string, ip: string): Promise<Response> =>
  guess(server, username, ip, SECRETS.password);

export const guessToken = (server: TestServer, ip: string): Promise<Response> =>
  guess(server, 'anybody', ip, random('glpat-'));

/** Sends that many wrong passwords one after the other, and returns the statuses. */
export async function statusesOf(times: number, ask: () => Promise<Response>): Promise<readonly number[]> {
  const statuses: number[] = [];
  for (let n = 0; n < times; n++) statuses.push((await ask()).status);
  return statuses;
}

export const times = (count: number, status: number): readonly number[] =>
  Array.from({ length: count }, () => status);
