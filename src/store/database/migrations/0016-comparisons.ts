/** Answers of GitLab Rails that differ from cellpass's, and how many were compared in each hour. */
export const sql = `
CREATE TABLE comparison_differences (
  request_id uuid PRIMARY KEY,
  happened_at timestamptz NOT NULL,
  record jsonb NOT NULL,
  bytes int NOT NULL);
CREATE INDEX comparison_differences_by_time ON comparison_differences (happened_at);

CREATE TABLE comparison_counts (
  hour timestamptz NOT NULL,
  outcome text NOT NULL,
  count bigint NOT NULL,
  PRIMARY KEY (hour, outcome));

INSERT INTO retention_turns VALUES ('comparisons', '-infinity');
`;
