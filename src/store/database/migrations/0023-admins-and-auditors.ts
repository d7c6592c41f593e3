/** who-can looks for admins and auditors, who are few, among all users. */
export const sql = `
CREATE INDEX users_admins_and_auditors ON users (id) WHERE admin OR auditor;
`;
