import type { AccessTokenEntry, DirectoryDocument } from '../document/document.ts';
import { keyOf } from '../document/fields.ts';
import { secretDigest } from '../document/secret.ts';
import { type SectionName, TOKEN_SECTIONS } from '../document/sections.ts';

/** What a document names, to find the rows that its plan depends on. Names are in lower case. */
export interface DocumentNames {
  /** The ids that the entries of a section give. */
  readonly ids: (section: SectionName) => readonly number[];
  readonly organizations: readonly string[];
  /** Users that are entries. */
  readonly users: readonly string[];
  /** Users that entries refer to: members, owners of organizations and tokens, users of jobs. */
  readonly otherUsers: readonly string[];
  readonly emails: readonly string[];
  /** Groups and projects that are entries. */
  readonly groups: readonly string[];
  readonly projects: readonly string[];
  /** All paths, and every path above one of them. */
  readonly paths: readonly string[];
  /** Names of access tokens, and the users and paths that own them. */
  readonly accessTokens: {
    readonly names: readonly string[];
    readonly users: ReadonlySet<string>;
    readonly places: ReadonlySet<string>;
  };
  /** Names of deploy tokens, as they are written. */
  readonly deployTokens: readonly string[];
  readonly identities: readonly string[];
  readonly digests: readonly string[];
}

export function namesIn(document: DirectoryDocument): DocumentNames {
  const { users = [], groups = [], projects = [], organizations = [] } = document;
  const { access_tokens: accessTokens = [], deploy_tokens: deployTokens = [] } = document;
  const { federated_identities: identities = [] } = document;
  const keysOf = (names: readonly (string | null | undefined)[]): readonly string[] => [
    ...new Set(names.flatMap((name) => (name === null || name === undefined ? [] : [keyOf(name)]))),
  ];
  const usernames = keysOf(users.map(({ username }) => username));
  const places = accessTokens.map(placeOf);
  return {
    ids: (section) => (document[section] ?? []).flatMap(({ id }) => id ?? []),
    organizations: keysOf([
      ...organizations.map(({ path }) => path),
      ...[...users, ...groups].map(({ organization }) => organization),
    ]),
    users: usernames,
    otherUsers: keysOf(referencedUsers(document)),
    emails: keysOf(users.map(({ email }) => email)),
    groups: keysOf(groups.map(({ path }) => path)),
    projects: keysOf(projects.map(({ path }) => path)),
    // A user has a namespace at the root.
    paths: withParents(keysOf([...usernames, ...places, ...referencedPlaces(document)])),
    accessTokens: {
      names: accessTokens.map(({ name }) => name),
      users: new Set(keysOf(accessTokens.map((entry) => (entry.kind === 'personal' ? entry.user : null)))),
      places: new Set(keysOf(places)),
    },
    deployTokens: deployTokens.map(({ username }) => username),
    identities: identities.map(({ name }) => name),
    digests: TOKEN_SECTIONS.flatMap((section) =>
      (document[section] ?? []).flatMap((entry) => secretDigest(entry) ?? []),
    ),
  };
}

/** The path of the project or group that owns a token; null for a personal token. */
function placeOf(entry: AccessTokenEntry): string | null {
  if (entry.kind === 'personal') return null;
  return entry.kind === 'project' ? entry.project : entry.group;
}

function referencedUsers(document: DirectoryDocument): readonly (string | null | undefined)[] {
  const { organizations = [], groups = [], projects = [], access_tokens = [], job_tokens = [] } = document;
  const { federated_identities = [] } = document;
  return [
    ...federated_identities.map(({ account }) => account),
    ...organizations.flatMap(({ owners }) => owners),
    ...[...groups, ...projects].flatMap(({ members }) => members.map(({ user }) => user)),
    ...access_tokens.map((entry) => (entry.kind === 'personal' ? entry.user : null)),
    ...job_tokens.map(({ user }) => user),
  ];
}

function referencedPlaces(document: DirectoryDocument): readonly (string | null | undefined)[] {
  const { groups = [], projects = [], deploy_tokens = [], job_tokens = [] } = document;
  const { federated_identities = [] } = document;
  return [
    ...federated_identities.flatMap(({ project, group }) => [project, group]),
    ...[...groups, ...projects].flatMap(({ path, invited_groups }) => [
      path,
      ...invited_groups.map(({ group }) => group),
    ]),
    ...projects.flatMap(({ job_token_allowlist: list }) => (list === 'anyone' ? [] : list)),
    ...deploy_tokens.flatMap(({ projects: paths, group }) => [...(paths ?? []), group]),
    ...job_tokens.map(({ project }) => project),
  ];
}

function withParents(paths: readonly string[]): readonly string[] {
  const all = new Set<string>();
  for (const path of paths) {
    for (let end = path.length; end > 0 && !all.has(path.slice(0, end)); end = path.lastIndexOf('/', end - 1))
      all.add(path.slice(0, end));
  }
  return [...all];
}
