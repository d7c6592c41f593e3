/** What each admin token may do. Tokens of before keep what they could do: everything. */
export const sql = `
ALTER TABLE admin_tokens ADD COLUMN role text NOT NULL DEFAULT 'all'
  CHECK (role IN ('read', 'directory', 'keys', 'all'));
`;
