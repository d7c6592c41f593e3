import assert from 'node:assert/strict';
import { parseTopology } from '../../src/cells/topology.ts';
import { CellpassError } from '../../src/errors.ts';

const ONE = '{id: 1, legacy: true, url: https://cell-1.example.com}';
const TWO =
  '{id: 2, url: https://cell-2.example.com, registry_url: https://registry-cell-2.example.com, namespaces: [acme]}';

describe('cells.yaml', () => {
  it('names cells, their namespaces in lower case, and who is asked for the others', () => {
    const topology = parseTopology(
      `
cells:
  - ${ONE}
  - {id: 2, url: https://cell-2.example.com/, registry_url: https://registry-cell-2.example.com, namespaces: [Acme, a.b_c-d]}
topology_service: {url: https://topology.example.com/, timeout_ms: 1000}
forwarding: false
router_url: https://registry.example.com
`,
      2,
    );
    assert.deepEqual(topology, {
      cells: [
        { id: 1, legacy: true, url: 'https://cell-1.example.com', registryUrl: null, namespaces: [] },
        {
          id: 2,
          legacy: false,
          url: 'https://cell-2.example.com',
          registryUrl: 'https://registry-cell-2.example.com',
          namespaces: ['acme', 'a.b_c-d'],
        },
      ],
      topologyService: { url: 'https://topology.example.com', timeoutMs: 1000 },
      forwarding: false,
      routerUrl: 'https://registry.example.com',
    });
  });

  it('forwards, and asks no service, where it says nothing of either', () => {
    const { forwarding, topologyService, routerUrl } = parseTopology(`cells: [${ONE}]`, 1);
    assert.deepEqual(
      { forwarding, topologyService, routerUrl },
      { forwarding: true, topologyService: null, routerUrl: null },
    );
  });

  const WRONG: readonly [what: string, text: string, ...problems: RegExp[]][] = [
    ['no YAML', 'cells: [', /line 1: /],
    ['nothing', '', /line 1: cells: is missing/],
    ['no cells', 'cells: []', /cells: must name at least one cell/],
    ['a key that is not known', `cells: [${ONE}]\ncels: []`, /line 2: cels: is not a known field/],
    [
      'a key of a cell that is not known',
      'cells:\n  - {id: 1, legacy: true, url: http://a, name: x}',
      /line 2: cells\.0\.name: is not a known field/,
    ],
    [
      'no legacy cell',
      'cells:\n  - {id: 1, url: http://a}',
      /cells: exactly one cell must be legacy: true; 0 are/,
    ],
    [
      'two legacy cells',
      `cells:\n  - ${ONE}\n  - {id: 2, legacy: true, url: http://b}`,
      /exactly one cell must be legacy: true; 2 are/,
    ],
    [
      'an id twice',
      `cells:\n  - ${ONE}\n  - {id: 1, url: http://b}`,
      /line 3: cells\.1\.id: the id 1 is also that of cells\.0/,
    ],
    ['an id that is none', 'cells:\n  - {id: 0, legacy: true, url: http://a}', /cells\.0\.id/],
    [
      'a url twice',
      `cells:\n  - ${ONE}\n  - {id: 2, url: https://cell-1.example.com/}`,
      /line 3: cells\.1\.url: the url .* is also that of cells\.0/,
    ],
    [
      'a host twice, which the Topology Service could not tell apart',
      `cells:\n  - ${ONE}\n  - {id: 2, url: https://cell-1.example.com/two}\ntopology_service: {url: http://t}`,
      /the host cell-1\.example\.com/,
    ],
    [
      'a url that is none',
      'cells:\n  - {id: 1, legacy: true, url: cell-1}',
      /line 2: cells\.0\.url: must be an http\(s\) URL/,
    ],
    [
      'a namespace twice, however written',
      `cells:\n  - {id: 1, legacy: true, url: http://a, namespaces: [ACME]}\n  - ${TWO}`,
      /line 3: cells\.1\.namespaces\.0: the namespace acme is also that of cells\.0/,
    ],
    [
      'a namespace below the top level',
      'cells:\n  - {id: 1, legacy: true, url: http://a, namespaces: [acme/x]}',
      /must be a top-level group or user/,
    ],
    [
      'a Topology Service that may take longer than is left of 4 s',
      `cells: [${ONE}, ${TWO}]\ntopology_service: {url: http://t, timeout_ms: 1001}`,
      /line 2: topology_service\.timeout_ms: .*1000/,
    ],
    ['a topology without this cell', `cells: [${ONE}]`, /this cell, 2, is not among them/],
    [
      'several things at once',
      'cells:\n  - {id: x, url: nowhere}\n  - {id: 2, url: http://b, namespaces: [a b]}',
      /line 2: cells\.0\.id/,
      /line 2: cells\.0\.url/,
      /line 3: cells\.1\.namespaces\.0/,
    ],
  ];
  for (const [what, text, ...problems] of WRONG) {
    it(`is refused with ${what}`, () => {
      assert.throws(
        () => parseTopology(text, 2),
        (error) => {
          assert.ok(error instanceof CellpassError && error.code === 'invalid', String(error));
          for (const problem of problems) assert.match(error.message, problem);
          return true;
        },
      );
    });
  }
});
