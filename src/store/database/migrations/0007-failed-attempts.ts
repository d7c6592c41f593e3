/**
 * Counts of failed attempts within the last minutes; see `store/records/failure-counter.ts`. The
 * columns are those of rate-limiter-flexible, in its order; `expire` is in milliseconds. The table
 * is unlogged: a crash of the database may lose the counts.
 */
export const sql = `
CREATE UNLOGGED TABLE failed_attempts (
  key text PRIMARY KEY,
  points integer NOT NULL,
  expire bigint
);
`;
