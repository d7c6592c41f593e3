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
  - id: 2
    url: https://cell-2.example.com/
    registry_url: https://registry-cell-2.example.com
    issuer: cell-two
    topology_address: [GitLab-2.example.com, 'other-2.example.com:8443']
    namespaces: [Acme, a.b_c-d]
topology_service:
  url: https://topology.example.com/
  timeout_ms: 1000
  ca_file: /etc/ca.pem
  cert_file: /etc/client.pem
  key_file: /etc/client.key
forwarding: false
router_url: https://registry.example.com
`,
      2,
    );
    assert.deepEqual(topology, {
      cells: [
        {
          id: 1,
          legacy: true,
          url: 'https://cell-1.example.com',
          registryUrl: null,
          issuer: null,
          audiences: ['https://cell-1.example.com'],
          topologyHosts: ['cell-1.example.com'],
          namespaces: [],
        },
        {
          id: 2,
          legacy: false,
          url: 'https://cell-2.example.com',
          registryUrl: 'https://registry-cell-2.example.com',
          issuer: 'cell-two',
          audiences: ['https://cell-2.example.com'],
          topologyHosts: ['gitlab-2.example.com', 'other-2.example.com'],
          namespaces: ['acme', 'a.b_c-d'],
        },
      ],
      topologyService: {
        url: 'https://topology.example.com',
        timeoutMs: 1000,
        tls: {
          caFile: '/etc/ca.pem',
          certificate: { certFile: '/etc/client.pem', keyFile: '/etc/client.key' },
        },
      },
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

  describe('by http', () => {
    const places: readonly [path: string, text: (url: string) => string][] = [
      ['cells.0.url', (url) => `cells:\n  - {id: 2, legacy: true, url: '${url}'}`],
      [
        'cells.1.registry_url',
        (url) => `cells:\n  - ${ONE}\n  - {id: 2, url: https://cell-2.example.com, registry_url: '${url}'}`,
      ],
      ['topology_service.url', (url) => `cells: [${ONE}, ${TWO}]\ntopology_service: {url: '${url}'}`],
      ['router_url', (url) => `cells: [${ONE}, ${TWO}]\nrouter_url: '${url}'`],
    ];
    const beyond = [
      'http://cell-9.example.com',
      'http://10.0.0.9:8080',
      'http://[2001:db8::9]',
      'http://0.0.0.0:5000',
      'HTTP://Cell-9.Example.com',
      'http://localhost.example.com',
    ];
    for (const [path, text] of places) {
      it(`refuses ${path} beyond this machine, unless insecure: true stands at the top`, () => {
        for (const url of beyond) {
          assert.throws(() => parseTopology(text(url), 2), {
            message: new RegExp(`line \\d: ${path.replaceAll('.', '\\.')}: .* is http .*insecure: true`),
          });
          assert.throws(() => parseTopology(`insecure: false\n${text(url)}`, 2), /is http/);
          assert.doesNotThrow(() => parseTopology(`insecure: true\n${text(url)}`, 2));
          assert.doesNotThrow(() => parseTopology(text(url.replace(/^http/i, 'https')), 2));
        }
      });

      it(`takes ${path} on this machine`, () => {
        for (const host of ['localhost:1', '127.0.0.1', '127.1.2.3:8080', '[::1]:5000']) {
          assert.doesNotThrow(() => parseTopology(text(`http://${host}`), 2), host);
        }
      });
    }

    it('names every such URL at once', () => {
      const text =
        'cells: [{id: 2, legacy: true, url: http://a, registry_url: http://b}]\ntopology_service: {url: http://c}\nrouter_url: http://d';
      assert.throws(
        () => parseTopology(text, 2),
        (error) => error instanceof CellpassError && error.details.problems?.length === 4,
      );
    });

    it('takes nothing but true and false for insecure', () => {
      assert.throws(
        () => parseTopology(`insecure: yes please\ncells: [${TWO}]`, 2),
        /insecure: must be true or false/,
      );
    });
  });

  it('takes a host that one cell lists twice, with and without its port or the dot at its end', () => {
    const { cells } = parseTopology(
      `cells:\n  - ${ONE}\n  - {id: 2, url: https://b., topology_address: [b, 'B:8443', b., '[::1]:1']}\ntopology_service: {url: https://t}`,
      2,
    );
    assert.deepEqual([...new Set(cells[1]?.topologyHosts)], ['b', '[::1]']);
  });

  const WRONG: readonly [what: string, text: string, ...problems: RegExp[]][] = [
    ['no YAML', 'cells: [', /line 1: /],
    ['nothing', '', /line 1: cells: is missing/],
    ['no cells', 'cells: []', /cells: must name at least one cell/],
    ['a key that is not known', `cells: [${ONE}]\ncels: []`, /line 2: cels: is not a known field/],
    [
      'a key of a cell that is not known',
      'cells:\n  - {id: 1, legacy: true, url: https://a, name: x}',
      /line 2: cells\.0\.name: is not a known field/,
    ],
    [
      'no legacy cell',
      'cells:\n  - {id: 1, url: https://a}',
      /cells: exactly one cell must be legacy: true; 0 are/,
    ],
    [
      'two legacy cells',
      `cells:\n  - ${ONE}\n  - {id: 2, legacy: true, url: https://b}`,
      /exactly one cell must be legacy: true; 2 are/,
    ],
    [
      'an id twice',
      `cells:\n  - ${ONE}\n  - {id: 1, url: https://b}`,
      /line 3: cells\.1\.id: the id 1 is also that of cells\.0/,
    ],
    ['an id that is none', 'cells:\n  - {id: 0, legacy: true, url: https://a}', /cells\.0\.id/],
    [
      'a url twice',
      `cells:\n  - ${ONE}\n  - {id: 2, url: https://cell-1.example.com/}`,
      /line 3: cells\.1\.url: the url .* is also that of cells\.0/,
    ],
    [
      'a host twice, which the Topology Service could not tell apart',
      `cells:\n  - ${ONE}\n  - {id: 2, url: https://cell-1.example.com/two}\ntopology_service: {url: https://t}`,
      /the host cell-1\.example\.com/,
    ],
    [
      'an address of the Topology Service twice, whatever its port',
      `cells:\n  - ${ONE}\n  - {id: 2, url: https://b, topology_address: 'cell-1.example.com:8443'}\ntopology_service: {url: https://t}`,
      /line 3: cells\.1\.topology_address: the host cell-1\.example\.com is also that of cells\.0/,
    ],
    [
      'a url twice, however it is spelled',
      `cells:\n  - ${ONE}\n  - {id: 2, url: 'HTTPS://Cell-1.example.com:443/'}`,
      /line 3: cells\.1\.url: the url https:\/\/cell-1\.example\.com is also that of cells\.0/,
    ],
    [
      'an address twice, with a dot at the end of one',
      `cells:\n  - ${ONE}\n  - {id: 2, url: https://b, topology_address: cell-1.example.com.}\ntopology_service: {url: https://t}`,
      /the host cell-1\.example\.com is also that of cells\.0/,
    ],
    ...['a@b', ':x@b', 'b?', 'b#', 'b\\\\', 'b c', 'b%2e', 'b:x'].map((address): (typeof WRONG)[number] => [
      `the address ${address}`,
      `cells:\n  - ${ONE}\n  - {id: 2, url: https://b, topology_address: "${address}"}`,
      /line 3: cells\.1\.topology_address\.0: must be a host such as cell-2\.example\.com/,
    ]),
    [
      'an empty list of addresses',
      `cells:\n  - ${ONE}\n  - {id: 2, url: https://b, topology_address: []}`,
      /line 3: cells\.1\.topology_address: must not be empty: leave it out for the host of the url/,
    ],
    [
      'an address that is a number',
      `cells:\n  - ${ONE}\n  - {id: 2, url: https://b, topology_address: 7}`,
      /line 3: cells\.1\.topology_address: must be a list/,
    ],
    [
      'an address that is a URL',
      `cells:\n  - ${ONE}\n  - {id: 2, url: https://b, topology_address: [https://b]}`,
      /cells\.1\.topology_address/,
    ],
    [
      'a certificate without its key',
      `cells: [${ONE}]\ntopology_service: {url: https://t, cert_file: /a.pem}`,
      /topology_service: needs both cert_file and key_file/,
    ],
    [
      'a url that is none',
      'cells:\n  - {id: 1, legacy: true, url: cell-1}',
      /line 2: cells\.0\.url: must be an http\(s\) URL/,
    ],
    [
      'a namespace twice, however written',
      `cells:\n  - {id: 1, legacy: true, url: https://a, namespaces: [ACME]}\n  - ${TWO}`,
      /line 3: cells\.1\.namespaces\.0: the namespace acme is also that of cells\.0/,
    ],
    [
      'a namespace below the top level',
      'cells:\n  - {id: 1, legacy: true, url: https://a, namespaces: [acme/x]}',
      /must be a top-level group or user/,
    ],
    [
      'a Topology Service that may take longer than is left of 4 s',
      `cells: [${ONE}, ${TWO}]\ntopology_service: {url: https://t, timeout_ms: 1001}`,
      /line 2: topology_service\.timeout_ms: .*1000/,
    ],
    ['a topology without this cell', `cells: [${ONE}]`, /this cell, 2, is not among them/],
    [
      'several things at once',
      'cells:\n  - {id: x, url: nowhere}\n  - {id: 2, url: https://b, namespaces: [a b]}',
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
