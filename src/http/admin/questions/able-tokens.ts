import { fromDeployToken, type SubjectOrReason } from '../../../authn/to-subject.ts';
import { CellpassError } from '../../../errors.ts';
import type { Action } from '../../../policy/role.ts';
import { printTokenId, type TokenKey } from '../../../store/directory/token-id.ts';
import type { ListedToken, TokenPage, TokenQuestion } from '../../../store/directory/tokens.ts';
import type { DirectoryQuestions } from '../../../store/source/questions.ts';
import { fromRecords } from '../named-subject.ts';
import { BATCH, type Page, type Step, takePage } from './pages.ts';
import { reachableRepositories, rolesFor } from './reachable-repositories.ts';
import { findGroup } from './what-can.ts';
import type { QuestionResource } from './who-can.ts';

interface AskedAbility {
  readonly can: Action | undefined;
  /** The path of a group; undefined: anywhere. */
  readonly under: string | undefined;
}

interface Ability {
  readonly action: Action;
  readonly groupId: number | null;
  readonly now: Date;
}

type ListTokens = (question: TokenQuestion) => Promise<TokenPage>;

/**
 * A page of the tokens that may do an action now on some project below a group, by a role or as a
 * deploy token of it: what is only public or internal does not count.
 * @param list lists the tokens that match all else that was asked.
 * @throws {CellpassError} `invalid` for `under` alone, `not_found` for an unknown group.
 */
export async function listAbleTokens(
  { questions, now }: QuestionResource,
  list: ListTokens,
  question: TokenQuestion,
  { can, under }: AskedAbility,
): Promise<Page<ListedToken>> {
  if (can === undefined)
    throw new CellpassError('invalid', 'under needs can: say what the tokens must be able to do');
  const directory = questions();
  const groupId = under === undefined ? null : await findGroup(directory, under);
  const ability = { action: can, groupId, now: now() };
  return takePage(ableTokens(directory, list, question, ability), question.limit);
}

async function* ableTokens(
  directory: DirectoryQuestions,
  list: ListTokens,
  question: TokenQuestion,
  ability: Ability,
): AsyncGenerator<readonly Step<ListedToken>[]> {
  let { after } = question;
  for (let hasMore = true; hasMore; ) {
    const page = await list({ ...question, after, limit: BATCH });
    hasMore = page.hasMore;
    const near = await tokensNear(directory, page.tokens, ability);
    // One by one, so that a page can end after each: each may take several statements.
    for (const token of page.tokens) {
      const isAble = near.has(token) && (await mayDo(directory, token, ability));
      yield [{ row: isAble ? token : null, place: printTokenId(token.key) }];
      after = token.key;
    }
  }
}

async function tokensNear(
  directory: DirectoryQuestions,
  tokens: readonly ListedToken[],
  { action, groupId }: Ability,
): Promise<ReadonlySet<ListedToken>> {
  const near = new Set<ListedToken>();
  for (const table of ['access', 'deploy'] satisfies TokenKey['table'][]) {
    const own = tokens.filter(({ key }) => key.table === table);
    if (own.length === 0) continue;
    const ids = own.map(({ key }) => key.number);
    const found = await directory.findTokensNear({ table, ids, groupId, roles: rolesFor(action) });
    for (const token of own) if (found.has(token.key.number)) near.add(token);
  }
  return near;
}

async function mayDo(
  directory: DirectoryQuestions,
  token: ListedToken,
  { action, groupId, now }: Ability,
): Promise<boolean> {
  const subject = await subjectOf(directory, token, now);
  if (subject === null || typeof subject === 'string') return false;
  const question = { subject, action, onlyByRole: true, groupId, now };
  for await (const batch of reachableRepositories(directory, question, '')) {
    if (batch.some(({ row }) => row !== null)) return true;
  }
  return false;
}

async function subjectOf(
  directory: DirectoryQuestions,
  { key, username, scopes, expiresAt, revoked }: ListedToken,
  now: Date,
): Promise<SubjectOrReason | null> {
  if (key.table === 'deploy') {
    const end = expiresAt === null ? null : new Date(expiresAt);
    return fromDeployToken({ id: key.number, username, scopes, revoked, expiresAt: end }, { now });
  }
  const question = { kind: 'token', id: key.number } as const;
  return fromRecords(question, await directory.find(question), { tokenScopes: undefined, now });
}
