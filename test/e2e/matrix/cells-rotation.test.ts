import { needs, useTwoCells } from '../../support/e2e/bench.ts';
import { debianTool } from '../../support/e2e/tools.ts';
import { describeCellRotation } from '../suites/cells-rotation.ts';

describe('two cells behind one host name, for longer', () => {
  const haproxy = needs(() => debianTool('haproxy'));
  const registry = needs(() => debianTool('docker-registry'));
  const docker = needs(() => debianTool('docker'));
  const skopeo = needs(() => debianTool('skopeo'));

  describe('under load', () => {
    const scene = useTwoCells(() => ({ haproxy: haproxy(), registry: registry() }));
    describeCellRotation({ rotations: 10, scene, clients: () => ({ docker: docker(), skopeo: skopeo() }) });
  });
});
