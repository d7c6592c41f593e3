import type { Database } from '../../store/database/drivers.ts';
import { changeDirectory } from '../../store/directory/directory.ts';
import type { TokenKey } from '../../store/directory/token-id.ts';
import { findToken, type RevokedToken, revokeToken } from '../../store/directory/tokens.ts';
import type { Authorship } from '../history/record.ts';
import { recordRevocation } from './record.ts';

/**
 * Revokes a token permanently, and records it in the history unless it was revoked before. Waits
 * while a document is applied. Undefined when there is no such token.
 */
export function revokeAndRecord(
  database: Pick<Database, 'transaction'>,
  key: TokenKey,
  author: Authorship,
): Promise<RevokedToken | undefined> {
  return changeDirectory(database, async (sql) => {
    const before = await findToken(sql, key);
    const revoked = await revokeToken(sql, key, author.at);
    if (revoked !== undefined && before?.revoked === false) await recordRevocation(sql, revoked, author);
    return revoked;
  });
}
