import type { Database, Row } from '../database/drivers.ts';
import { searchInTime } from './bounded-search.ts';
import type { RefusalRecord, StoredRefusal } from './refusals.ts';

/** A search; a refusal must match all filters that are given. */
export interface RefusalQuestion {
  readonly since?: Date;
  /** The verified subject, or the account of a failed login; in either case. Empty: anonymous clients. */
  readonly subject?: string;
  /** The whole name of a repository that the client asked for, in lower case. */
  readonly repository?: string;
  /** The cause of the error, or one of `reasons`; `granted_less` for all tokens with less than asked. */
  readonly reason?: string;
  /** CIDR. */
  readonly addresses?: string;
  /** The last refusal of the previous page. */
  readonly after: RefusalPlace | null;
  readonly limit: number;
}

/** A refusal's place in the record. */
interface RefusalPlace {
  readonly at: Date;
  readonly requestId: string;
}

export interface RefusalPage {
  /** Latest first. */
  readonly refusals: readonly StoredRefusal[];
  /** More refusals follow on the next page. */
  readonly hasMore: boolean;
}

/** Only the time is indexed: `retention.refusal_bytes` bounds what there is to read. */
const SEARCH = `
SELECT request_id, record FROM refusals
WHERE ($1::timestamptz IS NULL OR happened_at >= $1)
  AND ($2::text IS NULL OR lower($2) = lower(coalesce(
    record #>> '{question,subject,person,username}', record #>> '{question,subject,username}', record #>> '{early,subject}', record #>> '{early,account}',
    CASE WHEN jsonb_typeof(record -> 'question') = 'object' THEN '' END)))
  AND ($3::text IS NULL
    OR jsonb_path_exists(record, '$.question.asked.scopes[*] ? (@.type == "repository" && @.name == $name)', jsonb_build_object('name', $3::text))
    OR jsonb_path_exists(record, '$.early.asked[*] ? (@ starts with $start)', jsonb_build_object('start', 'repository:' || $3 || ':')))
  AND ($4::text IS NULL OR record #>> '{error,reason}' = $4 OR record -> 'reasons' @> to_jsonb($4::text)
    OR ($4 = 'granted_less' AND jsonb_typeof(record -> 'error') = 'null'))
  AND ($5::text IS NULL
    OR CASE WHEN record ->> 'client' ~ '^[0-9a-f.:]+$' THEN (record ->> 'client')::inet <<= $5::inet END)
  AND ($6::timestamptz IS NULL OR (happened_at, request_id) < ($6, $7::uuid))
ORDER BY happened_at DESC, request_id DESC
LIMIT $8`;

/** @throws {CellpassError} `unavailable`, also when the search takes too long. */
export function searchRefusals(
  database: Pick<Database, 'transaction'>,
  { since, subject, repository, reason, addresses, after, limit }: RefusalQuestion,
): Promise<RefusalPage> {
  const filters = [since, subject, repository, reason, addresses].map((value) => value ?? null);
  const parameters = [...filters, after?.at ?? null, after?.requestId ?? null, limit + 1];
  return searchInTime(database, async (sql) => {
    const found = await sql.query<RefusalRow>(SEARCH, parameters);
    const refusals = found
      .slice(0, limit)
      .map(({ request_id: requestId, record }) => ({ requestId, record }));
    return { refusals, hasMore: found.length > limit };
  });
}

interface RefusalRow extends Row {
  readonly request_id: string;
  readonly record: RefusalRecord;
}
