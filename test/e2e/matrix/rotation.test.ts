import { needs } from '../../support/e2e/bench.ts';
import { debianTools, goTool } from '../../support/e2e/tools.ts';
import { describeRotation } from '../suites/rotation.ts';

const ROTATIONS = 20;

describe('rotation', () => {
  describe('with distribution 2.8 and the CA', () => {
    const binary = needs(() => debianTools('docker-registry', 'docker', 'skopeo'));
    describeRotation({
      title: 'under load, the registry never told and never restarted',
      rotations: ROTATIONS,
      binary,
      settings: {},
      trust: async (cellpass) => ({ rootcertbundle: await cellpass.command('keys', 'export-ca') }),
      reloads: false,
    });
  });

  describe('with distribution 3 and a JWK Set alone', () => {
    const binary = needs(() => goTool('registry-3.1'));
    describeRotation({
      title: 'under load, the registry reloaded while the key is pending',
      rotations: ROTATIONS,
      binary,
      settings: { kid: 'thumbprint', x5c: false },
      trust: async (cellpass) => ({ jwks: await cellpass.jwks() }),
      reloads: true,
    });
  });
});
