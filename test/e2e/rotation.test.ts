import { needs } from '../support/e2e/bench.ts';
import { debianTools } from '../support/e2e/tools.ts';
import { describeRotation } from './suites/rotation.ts';

describe('rotation with a registry that trusts the CA (distribution 2.8)', () => {
  const binary = needs(() => debianTools('docker-registry', 'docker', 'skopeo'));
  describeRotation({
    title: 'under load, the registry never told and never restarted',
    rotations: 3,
    binary,
    settings: {},
    trust: async (cellpass) => ({ rootcertbundle: await cellpass.command('keys', 'export-ca') }),
    reloads: false,
  });
});
