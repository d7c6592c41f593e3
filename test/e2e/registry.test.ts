import { needs, TRUST, useCellpass, useRegistry } from '../support/e2e/bench.ts';
import { debianTools } from '../support/e2e/tools.ts';
import { describeDebianClients } from './suites/clients.ts';
import { describeTokens } from './suites/tokens.ts';

const SERVICES = {
  container_registry: {},
  by_certificate: { x5c: false },
};

describe('a registry (distribution 2.8)', function () {
  this.timeout(60_000);
  const binary = needs(() => debianTools('docker-registry', 'docker', 'skopeo'));

  describe('with cellpass', () => {
    const bench = useCellpass(SERVICES);

    describe('that trusts the CA', () => {
      const registry = useRegistry(bench, { binary, service: 'container_registry', trust: TRUST.ca });
      describeDebianClients(bench, registry);
      describeTokens(bench, registry);
    });

    describe('that trusts the certificate of the key', () => {
      const registry = useRegistry(bench, { binary, service: 'by_certificate', trust: TRUST.certificate });
      describeTokens(bench, registry);
    });
  });
});
