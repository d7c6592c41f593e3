import { readFileSync, writeFileSync } from 'node:fs';
import { runExamples } from '../test/support/example-runs.ts';

/** Runs every command of docs/operations.md, and writes what it prints into the document. */
const FILE = new URL('operations.md', import.meta.url);
writeFileSync(FILE, await runExamples(readFileSync(FILE, 'utf8')));
