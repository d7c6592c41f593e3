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
 * One way to read a row; a row with `or` and `any` in it has several, and all must come out as it
 * says.
 */
export interface Scenario {
  /** What tells it from the row's other scenarios. */
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

/** Letters and digits, for every kind of name. */
function slugOf({ case_id: id }: CaseRow, at: number): string {
  return `case-${id.toLowerCase().replace(/[^a-z0-9]+/g, '-')}-${at + 1}`;
}

/**
 * What `any` request would get is not said beside a 200, only that the credential is good; so a row
 * with both asks for no scope.
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
          // Only a credential that belongs to a project is anywhere else when its place doesn't
          // matter.
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
  // A token of a project where it has no role is a token of another project.
  const isElsewhere = situation.memberships?.length === 0 && ofProject(kind);
  situation.credential.reach ??= isElsewhere ? 'other' : 'own';
  situation.memberships ??= presumedMemberships(situation);
  const { user } = situation;
  // cellpass knows no admin mode: without it an admin is like anybody else, but for registry
  // scopes, where GitLab reads the flag alone.
  if (user.adminModeOff && kind !== 'job_token' && !row.requested.includes('registry:')) user.admin = false;
  return situation;
}

function ofProject(kind: TokenKind): boolean {
  return belongsToProject(kind) || kind === 'project_access_token' || kind === 'group_access_token';
}

/**
 * Where any role will do, the highest: what an owner doesn't get, nobody gets. A job's user works
 * on the job's project.
 */
function presumedMemberships({ any, credential }: Situation): Situation['memberships'] {
  if (credential.kind === 'job_token') return [{ role: 'developer', place: 'project', expiresOn: null }];
  return any ? [{ role: 'owner', place: 'project', expiresOn: null }] : [];
}

/**
 * A row that only counts its immutable rules gives their patterns where it says what is granted.
 */
function bindPatterns(situation: Situation, { immutable }: Expectation): void {
  const rules = situation.tagRules.filter((rule) => rule.immutable);
  if (typeof immutable !== 'object' || immutable.length !== rules.length) return;
  rules.forEach((rule, at) => {
    rule.pattern = immutable[at] ?? rule.pattern;
  });
}
