import { main } from '../../../src/main.ts';

/** `cellpass` from the sources as they are, so that no older build is measured. */
process.exitCode = await main(process.argv.slice(2));
