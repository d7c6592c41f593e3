import { needs, TRUST, useCellpass, useRegistry } from '../support/e2e/bench.ts';
import { debianTool } from '../support/e2e/tools.ts';
import { describeDebianClients } from './suites/clients.ts';
import { describeRotation } from './suites/rotation.ts';
import { describeTokens } from './suites/tokens.ts';

const SERVICES = {
  container_registry: {},
  by_certificates: { x5c: false },
  elsewhere: {},
};

describe('a registry (distribution 2.8)', function () {
  this.timeout(60_000);
  const binary = needs(() => debianTool('docker-registry'));

  describe('with cellpass', () => {
    const bench = useCellpass(SERVICES);

    describe('that trusts the CA', () => {
      const registry = useRegistry(bench, { binary, service: 'container_registry', trust: TRUST.ca });
      describeDebianClients(bench, registry);
      describeTokens(bench, registry);
    });

    describe('that trusts one certificate for each key', () => {
      const registry = useRegistry(bench, { binary, service: 'by_certificates', trust: TRUST.certificates });
      describeTokens(bench, registry);
    });
  });

  describe('with a cellpass that rotates', () => {
    const bench = useCellpass(SERVICES);
    const ways = [
      { title: 'the CA', service: 'container_registry', trust: TRUST.ca, restarts: false },
      {
        title: 'one certificate for each key',
        service: 'by_certificates',
        trust: TRUST.certificates,
        restarts: true,
      },
    ];
    for (const way of ways) describeRotation(bench, { ...way, binary });
  });
});
