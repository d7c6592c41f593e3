import { needs } from '../../support/e2e/bench.ts';
import { debianTools } from '../../support/e2e/tools.ts';
import { describeTakingOver } from '../suites/taking-over.ts';

describe('a registry (distribution 2.8) and keys that come and go', function () {
  this.timeout(60_000);
  describeTakingOver(needs(() => debianTools('docker-registry')));
});
