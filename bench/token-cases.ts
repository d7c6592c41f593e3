import { writeFile } from 'node:fs/promises';
import { PASSWORD, type Town } from './seed.ts';
import { REUSING } from './server.ts';

/** One kind of request. */
export interface Case {
  readonly name: string;
  /** The path of request `number`, then a tab and its Authorization header, if it has one. */
  readonly request: (town: Town, number: number) => string;
}

interface Asked {
  readonly scopes: readonly string[];
  readonly login?: readonly [username: string, password: string];
  readonly service?: string;
}

export function tokenRequest({ scopes, login, service = 'container_registry' }: Asked): string {
  const query = new URLSearchParams({ service });
  for (const scope of scopes) query.append('scope', scope);
  const authorization =
    login === undefined ? '' : `\tBasic ${Buffer.from(login.join(':')).toString('base64')}`;
  return `/jwt/auth?${query}${authorization}`;
}

export const ONE_SCOPE: Case = {
  name: 'personal token, one scope',
  request: (town, number) => {
    const { username, token, projects } = town.user(number);
    return tokenRequest({ scopes: [`repository:${projects[0]}:pull,push`], login: [username, token] });
  },
};

export const JOB: Case = {
  name: 'job token',
  request: (town, number) => {
    const { token, project } = town.job(number);
    return tokenRequest({ scopes: [`repository:${project}:pull,push`], login: ['gitlab-ci-token', token] });
  },
};

export const CASES: readonly Case[] = [
  {
    name: 'anonymous, a public image',
    request: (town, number) => tokenRequest({ scopes: [`repository:${town.publicProject(number)}:pull`] }),
  },
  ONE_SCOPE,
  {
    name: 'personal token, ten scopes',
    request: (town, number) => {
      const { username, token, projects } = town.user(number);
      const scopes = projects.map((path) => `repository:${path}:pull`);
      return tokenRequest({ scopes, login: [username, token] });
    },
  },
  {
    name: 'deploy token',
    request: (town, number) => {
      const { username, token, project } = town.deployToken(number);
      return tokenRequest({ scopes: [`repository:${project}:pull`], login: [username, token] });
    },
  },
  JOB,
  {
    name: 'password',
    request: (town, number) => {
      const { username, projects } = town.user(number);
      return tokenRequest({ scopes: [`repository:${projects[0]}:pull`], login: [username, PASSWORD] });
    },
  },
  {
    name: 'a hot image, the same token again',
    request: (town) => {
      const { username, token, projects } = town.user(1);
      const scopes = [`repository:${projects[0]}:pull`];
      return tokenRequest({ scopes, login: [username, token], service: REUSING });
    },
  },
  { name: 'JWK Set', request: () => '/.well-known/jwks.json' },
];

/**
 * Writes `count` different requests of one kind to `file`, for `load`. Their numbers are 37 apart:
 * that has no factor in common with the counts of the directory, so no request repeats early.
 */
export async function writeRequests(
  file: string,
  { request }: Case,
  { town, count }: { readonly town: Town; readonly count: number },
): Promise<void> {
  const lines = Array.from({ length: count }, (_, number) => request(town, number * 37 + 1));
  await writeFile(file, `${lines.join('\n')}\n`);
}
