import { randomBytes, randomUUID } from 'node:crypto';
import { stringify } from 'yaml';

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/**
 * The people who log in, named after their role in the project `acme/app`; their secrets are new in
 * every run.
 */
export interface People {
  readonly maintainer: Credentials;
  readonly developer: Credentials;
  readonly guest: Credentials;
  /** The developer's access token that may only pull. */
  readonly reader: Credentials;
  /** A deploy token of `acme/app` that may pull and push. */
  readonly deployer: Credentials;
  /** A running job of `acme/app`, started by the developer. */
  readonly job: Credentials;
}

/** The paths of the projects that the tests push to. */
export const PRIVATE = 'acme/app';
/** The prefix of the protected repositories of `PRIVATE`: only owners may push there. */
export const PROTECTED = `${PRIVATE}/prod`;
export const PUBLIC = 'acme/site';
/** A private project, the source of mounts: the developer is a reporter there and may pull. */
export const SOURCE = 'acme/base';

export function makePeople(): People {
  return {
    maintainer: withPassword('maintainer'),
    developer: withPassword('developer'),
    guest: withPassword('guest'),
    reader: { username: 'developer', password: secret('glpat-') },
    deployer: { username: 'deployer', password: secret('gldt-') },
    job: { username: 'gitlab-ci-token', password: secret('glcbt-') },
  };
}

/** The directory document (YAML) with these people. */
export function directoryOf(people: People): string {
  const { maintainer, developer, guest, reader, deployer, job } = people;
  const team = [
    { user: maintainer.username, role: 'maintainer' },
    { user: developer.username, role: 'developer' },
    { user: guest.username, role: 'guest' },
  ];
  const viewer = [
    { user: maintainer.username, role: 'maintainer' },
    { user: developer.username, role: 'reporter' },
  ];
  return stringify({
    version: 1,
    users: [maintainer, developer, guest],
    groups: [{ path: 'acme' }],
    projects: [
      {
        path: PRIVATE,
        visibility: 'private',
        members: team,
        protected_repositories: [{ pattern: `${PROTECTED}*`, minimum_role_for_push: 'owner' }],
      },
      { path: PUBLIC, visibility: 'public', members: team },
      { path: SOURCE, visibility: 'private', members: viewer },
    ],
    access_tokens: [
      {
        name: 'reader',
        kind: 'personal',
        user: developer.username,
        scopes: ['read_registry'],
        token: reader.password,
      },
    ],
    deploy_tokens: [
      {
        username: deployer.username,
        scopes: ['read_registry', 'write_registry'],
        projects: [PRIVATE],
        token: deployer.password,
      },
    ],
    job_tokens: [{ project: PRIVATE, user: developer.username, running: true, token: job.password }],
  });
}

function withPassword(username: string): Credentials {
  return { username, password: randomUUID() };
}

function secret(prefix: string): string {
  return prefix + randomBytes(20).toString('hex');
}
