import { needs, TRUST, useCellpass, useRegistry } from '../support/e2e/bench.ts';
import { debianTools } from '../support/e2e/tools.ts';
import { describeDebianClients } from './suites/clients.ts';
import { describeTokens } from './suites/tokens.ts';

describe("a registry (distribution 2.8) whose users are in a GitLab's database", function () {
  this.timeout(60_000);
  const binary = needs(() => debianTools('docker-registry', 'docker', 'skopeo'));
  const bench = useCellpass({ container_registry: {} }, { onGitlab: true });
  const registry = useRegistry(bench, { binary, service: 'container_registry', trust: TRUST.ca });
  describeDebianClients(bench, registry);
  describeTokens(bench, registry);
});
