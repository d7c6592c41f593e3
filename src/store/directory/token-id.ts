/** Access tokens and deploy tokens have separate numbers, so a number alone is ambiguous. */
export interface TokenKey {
  readonly table: 'access' | 'deploy';
  /** The id in the directory document. */
  readonly number: number;
}

/** One form of id for both kinds: `access-12`, `deploy-3`. */
export function printTokenId({ table, number }: TokenKey): string {
  return `${table}-${number}`;
}

const ID = /^(?<table>access|deploy)-(?<number>[1-9][0-9]{0,15})$/;

/** Null for text that is no id. */
export function readTokenId(text: string): TokenKey | null {
  const { table, number } = ID.exec(text)?.groups ?? {};
  const key = { table: table === 'deploy' ? 'deploy' : 'access', number: Number(number) } as const;
  return Number.isSafeInteger(key.number) ? key : null;
}
