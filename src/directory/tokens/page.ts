import { CellpassError, printProblems } from '../../errors.ts';
import type { Sql } from '../../store/database/drivers.ts';
import { listTokens, readPage, type TokenPage, type TokenQuestion } from '../../store/directory/tokens.ts';
import { findTokenOwner } from './owner.ts';

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
  return readPage(limit, (count) => listTokens(sql, filter, { after, limit: count }));
}
