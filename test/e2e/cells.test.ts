import { needs, useTwoCells } from '../support/e2e/bench.ts';
import { debianTool } from '../support/e2e/tools.ts';
import { describeCells } from './suites/cells.ts';
import { describeAwayCell } from './suites/cells-away.ts';
import { describeCellRotation } from './suites/cells-rotation.ts';
import { describeCellTrust } from './suites/cells-trust.ts';

/** One issuer for all and one list of groups, or an issuer each and groups that a service knows. */
const SETTINGS = [
  { what: 'one issuer', hasOwnIssuers: false, hasTopologyService: false },
  { what: 'an issuer each, by a Topology Service', hasOwnIssuers: true, hasTopologyService: true },
] as const;

for (const { what, ...settings } of SETTINGS) {
  describe(`two cells behind one host name, with ${what}`, function () {
    this.timeout(60_000);
    const haproxy = needs(() => debianTool('haproxy'));
    const registry = needs(() => debianTool('docker-registry'));
    const docker = needs(() => debianTool('docker'));
    const skopeo = needs(() => debianTool('skopeo'));

    describe('with their issuers and registries', () => {
      const scene = useTwoCells(() => ({ haproxy: haproxy(), registry: registry(), ...settings }));
      const clients = () => ({ docker: docker(), skopeo: skopeo() });
      describeCells(scene, clients);
      describeCellTrust(scene, settings);
      // `npm run test:matrix` does ten.
      describeCellRotation({ rotations: 1, scene, clients });
      describeAwayCell(scene, clients);
    });
  });
}
