import { EXAMPLE_SECRETS } from '../authn/example-secrets.ts';
import type { Sql } from '../store/database/drivers.ts';
import { countTokens } from '../store/directory/example-tokens.ts';

/** A sentence about the tokens of `examples/` in the database; null: there are none. */
export async function warnOfExamples(sql: Sql): Promise<string | null> {
  const count = await countTokens(sql, EXAMPLE_SECRETS);
  if (count === 0) return null;
  return `${count} stored tokens are of the examples of cellpass, which everybody knows; cellpass refuses them, because CELLPASS_PUBLIC_URL is not a loopback address: remove them with "cellpass directory apply --prune"`;
}
