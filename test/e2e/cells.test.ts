import { needs, useTwoCells } from '../support/e2e/bench.ts';
import { debianTool } from '../support/e2e/tools.ts';
import { describeCells } from './suites/cells.ts';
import { describeAwayCell } from './suites/cells-away.ts';
import { describeCellRotation } from './suites/cells-rotation.ts';
import { describeCellTrust } from './suites/cells-trust.ts';

describe('two cells behind one host name', function () {
  this.timeout(60_000);
  const haproxy = needs(() => debianTool('haproxy'));
  const registry = needs(() => debianTool('docker-registry'));
  const docker = needs(() => debianTool('docker'));
  const skopeo = needs(() => debianTool('skopeo'));

  describe('with their issuers and registries', () => {
    const scene = useTwoCells(() => ({ haproxy: haproxy(), registry: registry() }));
    const clients = () => ({ docker: docker(), skopeo: skopeo() });
    describeCells(scene, clients);
    describeCellTrust(scene);
    // `npm run test:matrix` does ten.
    describeCellRotation({ rotations: 1, scene, clients });
    describeAwayCell(scene, clients);
  });
});
