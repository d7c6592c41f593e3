import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { type CurrentTopology, openTopology } from '../../src/cells/current-topology.ts';
import { until } from '../support/processes/child.ts';
import { startTopologyStandIn, type TopologyStandIn } from '../support/topology/service.ts';

const STRANGER = { network: '192.0.2.1', isKnown: false, gone: () => new AbortController().signal };

describe('a topology that changes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cellpass-topology-'));
  const file = join(folder, 'cells.yaml');
  let service: TopologyStandIn;
  let topology: CurrentTopology;
  let lines: string[];

  /** In one step, so that the file is read once. */
  const write = (namespaces: readonly string[], issuer?: string): void => {
    const cells = [
      { id: 1, legacy: true, url: 'http://127.0.0.1:9001', topology_address: 'cell-1.example.com' },
      {
        id: 2,
        url: 'http://127.0.0.1:9002',
        topology_address: 'cell-2.example.com',
        namespaces,
        ...(issuer && { issuer }),
      },
    ];
    const text = stringify({ cells, topology_service: { url: service.url, timeout_ms: 1000 } });
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file);
  };
  const logged = (message: RegExp): Promise<true> =>
    until(
      async () => (lines.some((line) => message.test(line)) ? true : undefined),
      () => `${message} is not in the log: ${lines.join('; ')}`,
    );

  beforeEach(async () => {
    lines = [];
    service = await startTopologyStandIn();
    service.routes.set('acme', 'cell-2.example.com');
    service.routes.set('tools', 'cell-1.example.com');
    write([], 'two');
    topology = openTopology({
      file,
      self: 2,
      publicUrl: '',
      issuer: 'two',
      pollMs: 5,
      log: {
        info: (_, message) => void lines.push(message ?? ''),
        error: (fields, message) => void lines.push(`${message}: ${String(Reflect.get(fields, 'err'))}`),
      },
    });
  });
  afterEach(async () => {
    await topology.close();
    await service.close();
  });
  after(() => rmSync(folder, { recursive: true }));

  it('is still asked for by requests that began before', async () => {
    const before = topology.view();
    assert.equal((await before.cellOf('acme', STRANGER))?.id, 2);
    write(['more'], 'two');
    await logged(/^reloaded the topology$/);
    assert.equal((await before.cellOf('tools', STRANGER))?.id, 1);
    assert.equal((await topology.view().cellOf('more', STRANGER))?.id, 2);
  });

  it('is refused where it gives this cell another issuer than it signs as', async () => {
    write(['more'], 'three');
    await logged(/cell 2 signs as three, but this server signs as two until it is restarted/);
    assert.deepEqual(topology.view().topology.cells[1]?.namespaces, []);
    write(['more']);
    await logged(/^reloaded the topology$/);
    assert.deepEqual(topology.view().topology.cells[1]?.namespaces, ['more']);
  });
});
