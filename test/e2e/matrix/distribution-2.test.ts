import { needs, TRUST, useCellpass, useRegistry } from '../../support/e2e/bench.ts';
import { debianTool } from '../../support/e2e/tools.ts';
import { describeGoClients } from '../suites/clients.ts';

describe('the matrix: distribution 2.8', function () {
  this.timeout(60_000);
  const binary = needs(() => debianTool('docker-registry'));

  describe('with cellpass', () => {
    const bench = useCellpass({ container_registry: {} });
    const registry = useRegistry(bench, { binary, service: 'container_registry', trust: TRUST.ca });
    describeGoClients(bench, registry);
  });
});
