/** Access tokens and deploy tokens are numbered apart, so that a number alone doesn't say which is meant. */
export interface TokenKey {
  readonly table: 'access' | 'deploy';
  /** The id that the directory document knows it by. */
  readonly number: number;
}

/** One id for both: `access-12`, `deploy-3`. As stable as the number. */
export function printTokenId({ table, number }: TokenKey): string {
  return `${table}-${number}`;
}

const ID = /^(?<table>access|deploy)-(?<number>[1-9][0-9]{0,15})$/;

/** Null for what can't be an id. */
export function readTokenId(text: string): TokenKey | null {
  const { table, number } = ID.exec(text)?.groups ?? {};
  const key = { table: table === 'deploy' ? 'deploy' : 'access', number: Number(number) } as const;
  return Number.isSafeInteger(key.number) ? key : null;
}
