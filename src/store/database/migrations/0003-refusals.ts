/** Refusals as they happened, so that somebody can ask why later. Bounded in days and bytes; see `store/refusals.ts`. */
export const sql = `
CREATE TABLE refusals (
  request_id uuid PRIMARY KEY,
  happened_at timestamptz NOT NULL,
  record jsonb NOT NULL,
  bytes integer NOT NULL
);
CREATE INDEX refusals_by_time ON refusals (happened_at);
`;
