import { CellpassError, printProblems } from '../../errors.ts';
import type { Sql } from '../../store/database/drivers.ts';
import { findUserOwner } from '../../store/directory/owners.ts';
import { listTokens, readPage, type TokenPage, type TokenQuestion } from '../../store/directory/tokens.ts';
import { keyOf } from '../document/fields.ts';
import { findTokenOwner } from './owner.ts';

/**
 * Lists the tokens that match all that is asked.
 * @throws {CellpassError} `invalid` for an unknown name. An empty list would look like an owner
 *   without tokens.
 */
export async function readTokenPage(
  sql: Sql,
  { after, limit, user, project, group, owner, ...same }: TokenQuestion,
): Promise<TokenPage> {
  const names = {
    ...(user !== undefined && { user }),
    ...(project !== undefined && { project }),
    ...(group !== undefined && { group }),
  };
  const place = await findTokenOwner(sql, names);
  const account = owner === undefined ? undefined : await findUserOwner(sql, keyOf(owner));
  const isUnknown = owner !== undefined && account === undefined;
  const problems = [
    ...('problems' in place ? place.problems : []),
    ...(isUnknown ? [{ path: 'owner', message: `there is no user "${owner}"` }] : []),
  ];
  if ('problems' in place || problems.length > 0)
    throw new CellpassError('invalid', printProblems(problems), { problems });
  const { userId, projectIds, groupId } = place;
  const [projectId] = projectIds;
  const filter = {
    ...same,
    ...(userId !== null && { userId }),
    ...(projectId !== undefined && { projectId }),
    ...(groupId !== null && { groupId }),
    ...(account !== undefined && { ownerId: account.id }),
  };
  return readPage(limit, (count) => listTokens(sql, filter, { after, limit: count }));
}
