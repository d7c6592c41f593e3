import type { Database } from '../src/store/database/drivers.ts';

/** Over how many top-level groups the changes are spread, one after the other. */
const GROUPS = 1000;
/** New projects have ids that no seeded project has. */
const FIRST_ID = 1_000_000_000;

/** Changes of the seeded directory, as a company makes them; `$1` is a group, `$2` a new id. */
const STATEMENTS: readonly string[] = [
  // A user of the group gets another role.
  `UPDATE members SET role = CASE role WHEN 'developer' THEN 'maintainer' ELSE 'developer' END
   WHERE source_type = 'Namespace' AND source_id = $1 AND $2::bigint IS NOT NULL
     AND user_id = (SELECT min(user_id) FROM members WHERE source_type = 'Namespace' AND source_id = $1)`,
  // A setting of a project changes.
  `UPDATE projects SET job_token_open = NOT job_token_open
   WHERE id = (SELECT min(id) FROM projects WHERE namespace_id = $1 AND $2::bigint IS NOT NULL)`,
  `INSERT INTO projects (id, namespace_id, path, path_key)
   SELECT $2::bigint, id, path || '/new-' || $2::bigint, path_key || '/new-' || $2::bigint FROM namespaces WHERE id = $1`,
  `INSERT INTO access_tokens (id, kind, name, user_id, scopes, token_digest)
   SELECT $2::bigint, 'personal', 'new', $1, '{api}', sha256(('new-' || $2::bigint)::bytea)`,
];

interface Changes {
  /** Resolves when the last change is made. */
  stop(): Promise<void>;
}

let made = 0;

/** Changes the directory at a steady rate, until it is stopped. */
export function startChanges(database: Database, perSecond: number): Changes {
  let last: Promise<unknown> = Promise.resolve();
  const change = (): void => {
    const group = ((made * 37) % GROUPS) + 1;
    const statement = STATEMENTS[made % STATEMENTS.length] ?? '';
    made += 1;
    const parameters = [group, FIRST_ID + made];
    last = last.then(() => database.query(statement, parameters));
    // `stop` throws it.
    last.catch(() => undefined);
  };
  const timer = perSecond > 0 ? setInterval(change, 1000 / perSecond) : undefined;
  return {
    async stop() {
      clearInterval(timer);
      await last;
    },
  };
}
