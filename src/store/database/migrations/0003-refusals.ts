/**
 * Refused requests, so that `cellpass explain` can say later why. The number of days and bytes is
 * limited; see `store/records/refusals.ts`.
 */
export const sql = `
CREATE TABLE refusals (
  request_id uuid PRIMARY KEY,
  happened_at timestamptz NOT NULL,
  record jsonb NOT NULL,
  bytes integer NOT NULL
);
CREATE INDEX refusals_by_time ON refusals (happened_at);
`;
