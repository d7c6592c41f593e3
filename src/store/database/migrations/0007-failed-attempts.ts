/**
 * Counts of failed attempts, for minutes; see `store/failure-counter.ts`. The columns are those that rate-limiter-flexible writes, in its
 * order; `expire` is in milliseconds. Not logged: a crash of the database may forget them.
 */
export const sql = `
CREATE UNLOGGED TABLE failed_attempts (
  key text PRIMARY KEY,
  points integer NOT NULL,
  expire bigint
);
`;
