import { readFileSync, writeFileSync } from 'node:fs';
import { stopSharedPostgres } from '../test/support/database/postgres.ts';
import { runExamples } from '../test/support/example-runs.ts';

/** Runs every command of docs/operations.md, and writes what it prints into the document. */
const FILE = new URL('operations.md', import.meta.url);
try {
  writeFileSync(FILE, await runExamples(readFileSync(FILE, 'utf8')));
} finally {
  await stopSharedPostgres();
}
