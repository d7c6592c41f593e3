import type { SharedPassword } from './credential.ts';
import type { CaseRow } from './csv.ts';
import { plainSituation, type Situation, type TokenKind } from './situation.ts';
import { type Expectation, readGranted } from './words/granted.ts';
import { alternatives, NotUnderstood } from './words/phrases.ts';
import { readPrincipal } from './words/principal.ts';
import { readProject } from './words/project.ts';
import { ANY, type Question, readRequest } from './words/request.ts';
import { readRole } from './words/role.ts';
import { readToken, tokenKinds } from './words/token.ts';
import { buildWorld, type World } from './world.ts';

/**
 * One meaning of a row. A row with `or` or `any` has several, and each must have the row's outcome.
 */
export interface Scenario {
  /** The words that distinguish it from the row's other scenarios. */
  readonly words: string;
  readonly world: World;
  readonly questions: readonly Question[];
  readonly status: number;
  readonly expected: Expectation;
}

/**
 * What a row means, in general words: nothing here knows a row by its id.
 * @throws {NotUnderstood} naming the word and its column.
 * @throws {NotExpressible} naming what cellpass does not have.
 */
export function interpret(row: CaseRow, shared: SharedPassword): readonly Scenario[] {
  const status = Number(row.http_status);
  if (!/^[1-5]\d\d$/.test(row.http_status))
    throw new NotUnderstood(row.http_status || 'an empty cell', 'http_status');
  const expected = readGranted(row.granted);
  return situationsOf(row, expected).map(({ words, situation }, at) => {
    const world = buildWorld(slugOf(row, at), situation, shared);
    const questions = readRequest(row.requested, world.paths);
    return { words, world, questions: worthAsking(questions, row, status), status, expected };
  });
}

/** A random part of names: letters and digits. */
function slugOf({ case_id: id }: CaseRow, at: number): string {
  return `case-${id.toLowerCase().replace(/[^a-z0-9]+/g, '-')}-${at + 1}`;
}

/**
 * A row with `any` request and status 200 says only that the credential is valid, so it asks for no
 * scope.
 */
function worthAsking(questions: readonly Question[], row: CaseRow, status: number): readonly Question[] {
  return ANY.test(row.requested) && status === 200 ? questions.slice(0, 1) : questions;
}

interface Reading {
  readonly words: string;
  readonly situation: Situation;
}

function situationsOf(row: CaseRow, expected: Expectation): readonly Reading[] {
  const readings: Reading[] = [];
  for (const principal of alternatives(row.principal)) {
    for (const role of alternatives(row.role_on_project)) {
      for (const kind of tokenKinds(row.token_kind)) {
        for (const reach of REACHES) {
          const situation = readSituation({ ...row, principal, role_on_project: role }, kind);
          // If a credential's place doesn't matter, only one that belongs to a project is put
          // elsewhere.
          if (reach === 'other' && !(situation.any && belongsToProject(kind))) continue;
          if (reach === 'other') situation.credential.reach = reach;
          bindPatterns(situation, expected);
          readings.push({ words: `${principal}, ${role}, ${kind}, ${reach}`, situation });
        }
      }
    }
  }
  return readings;
}

const REACHES = ['own', 'other'] as const;

function belongsToProject(kind: TokenKind): boolean {
  return kind === 'job_token' || kind === 'deploy_token';
}

function readSituation(row: CaseRow, kind: TokenKind): Situation {
  const situation = plainSituation();
  readProject(row.project_visibility, row.registry_access_level, situation);
  readPrincipal(row.principal, situation);
  readRole(row.role_on_project, situation);
  readToken(kind, row.token_scopes, situation);
  // A token without a role in the project belongs to another project.
  const isElsewhere = situation.memberships?.length === 0 && ofProject(kind);
  situation.credential.reach ??= isElsewhere ? 'other' : 'own';
  situation.memberships ??= presumedMemberships(situation);
  const { user } = situation;
  // cellpass has no admin mode. Without admin mode, GitLab treats an admin as an ordinary user,
  // except for registry scopes, where it checks only the flag.
  if (user.adminModeOff && kind !== 'job_token' && !row.requested.includes('registry:')) user.admin = false;
  return situation;
}

function ofProject(kind: TokenKind): boolean {
  return belongsToProject(kind) || kind === 'project_access_token' || kind === 'group_access_token';
}

/**
 * If any role is meant, use the highest: what an owner is refused, all are refused. A job's user is
 * a member of the job's project.
 */
function presumedMemberships({ any, credential }: Situation): Situation['memberships'] {
  if (credential.kind === 'job_token') return [{ role: 'developer', place: 'project', expiresOn: null }];
  return any ? [{ role: 'owner', place: 'project', expiresOn: null }] : [];
}

/**
 * A row that only counts its immutable rules names their patterns in the column `granted`.
 */
function bindPatterns(situation: Situation, { immutable }: Expectation): void {
  const rules = situation.tagRules.filter((rule) => rule.immutable);
  if (typeof immutable !== 'object' || immutable.length !== rules.length) return;
  rules.forEach((rule, at) => {
    rule.pattern = immutable[at] ?? rule.pattern;
  });
}
