import assert from 'node:assert/strict';
import { createClientAddressReader, toClientAddress, toNetwork } from '../../src/http/client-address.ts';

describe("the client's address", () => {
  const rows: [
    what: string,
    proxies: string[],
    socket: string | undefined,
    header: string | undefined,
    expected: string,
  ][] = [
    ['is who connected', [], '203.0.113.7', undefined, '203.0.113.7'],
    ['is not what an untrusted peer claims', [], '203.0.113.7', '10.0.0.1', '203.0.113.7'],
    ['is what a trusted proxy says', ['10.0.0.0/8'], '10.0.0.2', '203.0.113.7', '203.0.113.7'],
    ['is the proxy itself when it says nothing', ['10.0.0.0/8'], '10.0.0.2', undefined, '10.0.0.2'],
    ['is read from right to left', ['10.0.0.0/8'], '10.0.0.2', '198.51.100.1, 203.0.113.7', '203.0.113.7'],
    [
      'is found behind several proxies',
      ['10.0.0.0/8'],
      '10.0.0.2',
      '198.51.100.1, 203.0.113.7, 10.0.0.3',
      '203.0.113.7',
    ],
    ['is the left-most of trusted ones', ['10.0.0.0/8'], '10.0.0.2', '10.0.0.4, 10.0.0.3', '10.0.0.4'],
    [
      'is not looked for behind nonsense',
      ['10.0.0.0/8'],
      '10.0.0.2',
      '203.0.113.7, unknown, 10.0.0.3',
      '10.0.0.3',
    ],
    ['may come with a port', ['10.0.0.0/8'], '10.0.0.2', '203.0.113.7:4711', '203.0.113.7'],
    ['may be IPv6 with a port', ['10.0.0.0/8'], '10.0.0.2', '[2001:db8::1]:4711', '2001:db8::1'],
    ['may be IPv6', ['::1/128'], '::1', '2001:DB8:0::1', '2001:db8::1'],
    [
      'is IPv4 also when it comes inside IPv6',
      ['10.0.0.0/8'],
      '::ffff:10.0.0.2',
      '::ffff:203.0.113.7',
      '203.0.113.7',
    ],
    ['is read without its zone', ['fe80::/10'], 'fe80::1%br-5f2', '2001:db8::1%eth0.100', '2001:db8::1'],
    [
      'trusts a proxy by an IPv4-mapped range',
      ['::ffff:10.0.0.0/104'],
      '10.0.0.2',
      '203.0.113.7',
      '203.0.113.7',
    ],
    [
      'is not read from a form that only some programs take',
      ['10.0.0.0/8'],
      '10.0.0.2',
      '3405803783',
      '10.0.0.2',
    ],
    ['survives a header of commas', ['10.0.0.0/8'], '10.0.0.2', ',,,', '10.0.0.2'],
    ['may be unknown', [], undefined, '203.0.113.7', ''],
  ];
  for (const [what, proxies, socket, header, expected] of rows) {
    it(what, () => assert.equal(createClientAddressReader(proxies)(socket, header).text, expected));
  }

  const ranges: [address: string, range: string, isIn: boolean][] = [
    ['10.1.2.3', '10.0.0.0/8', true],
    ['11.1.2.3', '10.0.0.0/8', false],
    ['10.1.2.3', '10.1.2.3', true],
    ['10.1.2.4', '10.1.2.3', false],
    ['2001:db8::5', '2001:db8::/32', true],
    ['2001:db8::5', '2001:db8::5', true],
    ['2001:db9::5', '2001:db8::/32', false],
    ['10.1.2.3', '::/0', false],
    ['2001:db8::5', '0.0.0.0/0', false],
    ['::ffff:10.1.2.3', '10.0.0.0/8', true],
    ['nonsense', '0.0.0.0/0', false],
    ['10.1.2.3', '::ffff:10.0.0.0/104', true],
    ['::ffff:10.1.2.3', '::FFFF:a00:0/104', true],
    ['11.1.2.3', '::ffff:10.0.0.0/104', false],
    ['10.1.2.3', '::ffff:10.1.2.3', true],
    ['10.1.2.3', '::ffff:0:0/96', true],
    ['10.1.2.3', '::ffff:10.0.0.0/80', false],
    ['2001:db8::5', '::ffff:0:0/96', false],
    ['fe80::1%eth0.100', 'fe80::/64', true],
    ['fe80::1%br-5f2', 'fe80::1', true],
    ['fe80::1%eth0@if5', 'fe80::/10', true],
    ['10.1.2.3%eth0', '10.0.0.0/8', false],
    ['10.1.2.3', 'nonsense', false],
  ];
  for (const [address, range, isIn] of ranges) {
    it(`${address} is ${isIn ? '' : 'not '}in ${range}`, () =>
      assert.equal(toClientAddress(address).isIn(range), isIn));
  }

  const networks: [address: string, network: string][] = [
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:db8:0:1::7', '2001:db8:0:1::/64'],
    ['2001:DB8:0:1:ffff:ffff:ffff:ffff', '2001:db8:0:1::/64'],
    ['2001:db8:0:2::7', '2001:db8:0:2::/64'],
    ['fe80::1%eth0', 'fe80::/64'],
    ['fe80::1%br-5f2', 'fe80::/64'],
    ['fe80::2%eth0.100', 'fe80::/64'],
    ['64:ff9b::192.0.2.7', '64:ff9b::c000:207'],
    ['nonsense', 'nonsense'],
    ['', ''],
  ];
  for (const [address, network] of networks) {
    it(`${JSON.stringify(address)} counts as ${JSON.stringify(network)}`, () =>
      assert.equal(toNetwork(toClientAddress(address)), network));
  }
});
