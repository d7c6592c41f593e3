import { CellpassError } from '../../errors.ts';
import type { Sql } from '../../store/database/drivers.ts';
import type { TokenKey } from '../../store/directory/token-id.ts';
import { type ListedToken, listTokens, type TokenKind } from '../../store/directory/tokens.ts';
import { findTokenOwner } from './owner.ts';

export interface TokenQuestion {
  /** User name. */
  readonly user?: string;
  /** Path, as `group`. */
  readonly project?: string;
  readonly group?: string;
  readonly kind?: TokenKind;
  /** The last of the page before. */
  readonly after: TokenKey | null;
  readonly limit: number;
}

export interface TokenPage {
  readonly tokens: readonly ListedToken[];
  /** Whether there are others behind it. */
  readonly hasMore: boolean;
}

/** @throws {CellpassError} `invalid` for a name that nobody has, which would otherwise look like somebody without tokens. */
export async function readTokenPage(
  sql: Sql,
  { kind, after, limit, ...names }: TokenQuestion,
): Promise<TokenPage> {
  const owner = await findTokenOwner(sql, names);
  if ('problems' in owner) {
    const { problems } = owner;
    const list = problems.map(({ path, message }) => `${path} ${message}`).join('; ');
    throw new CellpassError('invalid', list, { problems });
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
