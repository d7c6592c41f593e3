import type {
  AccessTokenRecord,
  Account,
  CredentialRecords,
  DeployTokenRecord,
  IdentityRecord,
} from '../../authn/account.ts';
import type { SubjectIds, SubjectQuestion } from '../../authn/source.ts';
import type { Facts } from '../../policy/project.ts';
import type { Role } from '../../policy/role.ts';
import type { Subject } from '../../policy/subject.ts';
import type { TokenKey } from '../directory/token-id.ts';

/**
 * What administrators' questions ask a directory: candidates in pages, and the facts about them.
 * A candidate may turn out to have no access, because only the policy decides; but whoever has
 * access is a candidate. Each method throws `unavailable` when the directory does not answer.
 */
export interface DirectoryQuestions {
  find(question: SubjectQuestion): Promise<CredentialRecords>;
  /** The same facts as a token request's, past the connections of token requests. */
  facts(subject: Subject, paths: readonly string[]): Promise<Facts>;
  /** The facts about each user or deploy token and the same paths, in their order. */
  factsOfEach(subjects: readonly SubjectIds[], paths: readonly string[]): Promise<readonly Facts[]>;
  /** The id of a group or personal namespace by its path in lower case; null: there is none. */
  findGroup(path: string): Promise<number | null>;
  /** Users who may have a role on a project, with their credentials unless they are people. */
  findHolders(asked: HolderQuestion): Promise<readonly Holder[]>;
  /** Deploy tokens of the project or a group above it, by id, above `after`. */
  findDeployTokens(projectId: number, after: number, limit: number): Promise<readonly DeployTokenRecord[]>;
  /** Whose jobs a project may let in, by `key`, after `after`; itself included. */
  findJobEntries(projectId: number, after: string, limit: number): Promise<readonly JobEntry[]>;
  /** Projects that a subject may reach, out of the next ones by path. */
  findReachable(asked: ReachQuestion): Promise<Reachable>;
  /** Which of these tokens may reach something in a group. */
  findTokensNear(asked: NearQuestion): Promise<ReadonlySet<number>>;
}

export interface NearQuestion {
  readonly table: TokenKey['table'];
  readonly ids: readonly number[];
  /** Null: anywhere. */
  readonly groupId: number | null;
  /** As in `HolderQuestion`. */
  readonly roles: readonly Role[];
}

export interface HolderQuestion {
  readonly projectId: number;
  /** Memberships and invitations with other roles are passed over. */
  readonly roles: readonly Role[];
  /** Where the page before ended; null: from the start. */
  readonly after: HolderPlace | null;
  readonly limit: number;
}

/** Users by id; of each user first the account, then access tokens, then identities, by id. */
interface HolderPlace {
  readonly userId: number;
  /** 0: the account itself, 1: an access token, 2: an identity. */
  readonly rank: number;
  readonly id: number;
}

export interface Holder {
  readonly place: HolderPlace;
  readonly account: Account;
  /** Whether the account has any access token of its own, valid or not. */
  readonly hasTokens: boolean;
  readonly token: AccessTokenRecord | null;
  readonly identity: IdentityRecord | null;
}

export interface JobEntry {
  /** The path of a project or group; `*`: all projects. */
  readonly name: string;
  readonly key: string;
  readonly access: 'own' | 'listed' | 'anyone';
}

export interface ReachQuestion {
  readonly subject: SubjectIds;
  /** As in `HolderQuestion`. */
  readonly roles: readonly Role[];
  /** Projects with this visibility are candidates, too. */
  readonly visibilities: readonly string[];
  /** All projects are candidates. */
  readonly everything: boolean;
  /** Only projects below this group; null: all. */
  readonly groupId: number | null;
  /** The path after which to begin; empty: from the start. */
  readonly after: string;
}

export interface Reachable {
  /** In the order of the paths. */
  readonly paths: readonly string[];
  /** The last path that was looked at; null: there are no more projects. */
  readonly last: string | null;
}
