import { main } from '../../../src/main.ts';

/** Runs `cellpass` from the sources, so that no older build is measured. */
process.exitCode = await main(process.argv.slice(2));
