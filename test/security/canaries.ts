import { randomBytes } from 'node:crypto';
import pg from 'pg';

/** A secret, under a name that says whose. */
export interface Canary {
  readonly name: string;
  readonly secret: string;
}

/** A secret that nothing else in the world looks like. */
export function newCanary(name: string, prefix = ''): Canary {
  return { name, secret: `${prefix}canary-${randomBytes(16).toString('hex')}` };
}

/** Everything that was said or kept, by where. */
export interface Sinks {
  add(name: string, text: string): void;
  /** `sink: canary, form` of each that sings. */
  findings(canaries: readonly Canary[]): readonly string[];
}

export function createSinks(): Sinks {
  const sinks: { readonly name: string; readonly text: string }[] = [];
  return {
    add: (name, text) => sinks.push({ name, text }),
    findings: (canaries) =>
      sinks.flatMap(({ name, text }) =>
        canaries.flatMap((canary) =>
          formsOf(canary.secret)
            .filter(([, form]) => text.includes(form))
            .map(([form]) => `${name}: ${canary.name}, ${form}`),
        ),
      ),
  };
}

/** As it is, and as headers, forms and databases write it; base64 at each of the three places it may begin. */
function formsOf(secret: string): readonly (readonly [form: string, text: string])[] {
  const bytes = Buffer.from(secret);
  const base64 = [0, 1, 2].map((skipped) => {
    const padded = Buffer.concat([Buffer.alloc(skipped), bytes]).toString('base64');
    // Without what the neighbours take part in.
    return padded.slice(skipped === 0 ? 0 : 4, -4);
  });
  return [
    ['as it is', secret],
    ['in a URL', encodeURIComponent(secret)],
    ['in hex', bytes.toString('hex')],
    ...base64.map((text) => ['in base64', text] as const),
    ...base64.map((text) => ['in base64url', text.replaceAll('+', '-').replaceAll('/', '_')] as const),
  ];
}

/** Every row of every table, as text, by table. */
export async function dumpOf(databaseUrl: string): Promise<ReadonlyMap<string, string>> {
  const client = new pg.Client(databaseUrl);
  await client.connect();
  try {
    const tables = await client.query<{ name: string }>(
      "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) AS name FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    );
    const dump = new Map<string, string>();
    for (const { name } of tables.rows) {
      const { rows } = await client.query<{ row: string }>(`SELECT t::text AS row FROM ${name} AS t`);
      dump.set(name, rows.map(({ row }) => row).join('\n'));
    }
    return dump;
  } finally {
    await client.end();
  }
}
