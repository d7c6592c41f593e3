import { CellpassError, printProblems } from '../../errors.ts';
import type { Sql } from '../../store/database/drivers.ts';
import type { TokenKey } from '../../store/directory/token-id.ts';
import { type ListedToken, listTokens, type TokenKind } from '../../store/directory/tokens.ts';
import { findTokenOwner } from './owner.ts';

export interface TokenQuestion {
  /** The name of a user. */
  readonly user?: string;
  /** A path, as in `group`. */
  readonly project?: string;
  readonly group?: string;
  readonly kind?: TokenKind;
  /** The last token of the previous page; null for the first page. */
  readonly after: TokenKey | null;
  readonly limit: number;
}

export interface TokenPage {
  readonly tokens: readonly ListedToken[];
  /** Whether there is a next page. */
  readonly hasMore: boolean;
}

/**
 * Lists the tokens of a user, a project and a group, or all tokens.
 * @throws {CellpassError} `invalid` for an unknown name. An empty list would look like an owner
 *   without tokens.
 */
export async function readTokenPage(
  sql: Sql,
  { kind, after, limit, ...names }: TokenQuestion,
): Promise<TokenPage> {
  const owner = await findTokenOwner(sql, names);
  if ('problems' in owner) {
    const { problems } = owner;
    throw new CellpassError('invalid', printProblems(problems), { problems });
  }
  const { userId, projectIds, groupId } = owner;
  const [projectId] = projectIds;
  const filter = {
    ...(userId !== null && { userId }),
    ...(projectId !== undefined && { projectId }),
    ...(groupId !== null && { groupId }),
    ...(kind !== undefined && { kind }),
  };
  const found = await listTokens(sql, filter, { after, limit: limit + 1 });
  return { tokens: found.slice(0, limit), hasMore: found.length > limit };
}
