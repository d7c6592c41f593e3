import type { Facts } from '../policy/project.ts';
import { personOf, type Subject } from '../policy/subject.ts';
import type { CredentialRecords } from './account.ts';
import type { IdTokenClaims } from './federation/claims.ts';
import type { Secret } from './secret.ts';

/**
 * Where users, projects and credentials come from. cellpass's own tables are one source;
 * `test/store/source/conformance.ts` says what every source must do. Each method throws
 * `unavailable` when the source does not answer.
 */
export interface DirectorySource {
  /**
   * Whose secret is this, and what about these projects for its owner: one round trip.
   * @param question null for an anonymous request.
   * @param paths of the projects that could own what is asked, in lower case.
   */
  ask(question: SourceQuestion | null, paths: readonly string[]): Promise<SourceAnswer>;
  /**
   * The projects among `paths` (lower case) with how the subject stands to each, and the state of
   * the instance.
   */
  facts(subject: Subject, paths: readonly string[]): Promise<Facts>;
  /** The records of one subject by its name or id, for `explain`, which has no secret. */
  find(question: SubjectQuestion): Promise<CredentialRecords>;
  /** For /readyz: resolves when `ask` can be answered. */
  ping(): Promise<void>;
  /**
   * Lists repositories that are about to be pushed for the first time. The token endpoint calls it
   * before it answers. Only a source that lists repositories has it.
   */
  listRepositories?(repositories: readonly NewRepository[]): Promise<void>;
  /**
   * The token endpoint calls it when it has granted something by this answer to this question. Only
   * a source that caches answers has it, and caches no others: a client that is granted nothing
   * can't fill the cache, and can't tell from the time of an answer what is in it.
   */
  keep?(question: SourceQuestion | null, paths: readonly string[], answer: SourceAnswer): void;
}

export type CredentialKindName = 'id_token' | 'job' | 'access_token' | 'deploy_token' | 'password';

/**
 * What one request shows. The source derives what it looks up: a digest of the secret, or a login
 * name in lower case.
 */
export interface SourceQuestion {
  readonly secret: Secret;
  /** As the client sent it. */
  readonly username: string;
  /**
   * What the secret may be, by its form and the user name, in the order of `CREDENTIAL_KINDS`.
   * Other kinds are not looked up.
   */
  readonly kinds: readonly CredentialKindName[];
  /** Set where the secret is an ID token, and the kinds are `id_token` alone. */
  readonly idToken?: IdTokenQuestion;
}

/** What a verified ID token says of itself. */
export interface IdTokenQuestion {
  /** The name of its issuer in the settings. */
  readonly issuer: string;
  readonly claims: IdTokenClaims;
  /** `keysOfToken`: an identity that it proves has one of them. */
  readonly lookupKeys: readonly string[];
  /** `idTokenKey`, by which it may be on the deny list; null: it has no `jti`. */
  readonly tokenKey: string | null;
}

export interface SourceAnswer {
  readonly credentials: CredentialRecords;
  readonly facts: Facts;
  /** Whom the facts are about. */
  readonly about: SubjectIds;
  /**
   * The parts of the source that the answer rests on, each with the name of the state in which it
   * was found; null: there was no such part. Missing: the source has no versions.
   */
  readonly versions?: Readonly<Record<string, string | null>>;
}

/** A subject as facts know it. All null: anonymous. */
export interface SubjectIds {
  readonly userId: number | null;
  readonly deployTokenId: number | null;
  /** The job's own project. */
  readonly jobProjectId: number | null;
}

/** A repository by its project and the rest of its name, empty for the project's own. */
export interface NewRepository {
  readonly projectId: number;
  readonly name: string;
}

/** Whom `explain` asks about. */
export type SubjectQuestion =
  | { readonly kind: 'token' | 'job' | 'deploy_token_id'; readonly id: number }
  /** The user name of a deploy token exactly; that of a user in lower case. */
  | { readonly kind: 'deploy_token' | 'user' | 'identity'; readonly name: string };

export function idsOf(subject: Subject): SubjectIds {
  return {
    userId: personOf(subject)?.id ?? null,
    deployTokenId: subject.kind === 'deploy_token' ? subject.deployTokenId : null,
    jobProjectId: subject.kind === 'job' ? subject.projectId : null,
  };
}

/**
 * Whether the answer's facts are about this subject: facts about one subject never decide about
 * another.
 */
export function isAbout({ about }: SourceAnswer, subject: Subject): boolean {
  const { userId, deployTokenId, jobProjectId } = idsOf(subject);
  return (
    about.userId === userId && about.deployTokenId === deployTokenId && about.jobProjectId === jobProjectId
  );
}
