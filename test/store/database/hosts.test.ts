import assert from 'node:assert/strict';
import { type Address, createHosts } from '../../../src/store/database/hosts.ts';

const HOSTS = [
  { name: '127.0.0.1', port: 1 },
  { name: '::1', port: 2 },
  { name: '127.0.0.3', port: 3 },
];

type Behaviour = 'writes' | 'refuses' | 'hangs';

/** Hosts whose servers behave as the test says, by their ports. */
function servers(behaviours: Record<number, Behaviour>) {
  const tried: number[] = [];
  const hosts = createHosts(HOSTS, async ({ port }) => {
    tried.push(port);
    if (behaviours[port] === 'hangs') await new Promise(() => undefined);
    if (behaviours[port] !== 'writes') throw new Error('this is a standby');
  });
  return { hosts, tried, behaviours };
}

describe('of several hosts', () => {
  it('the first that takes changes is chosen, and stays while it works', async () => {
    const { hosts, tried } = servers({ 1: 'refuses', 2: 'writes', 3: 'writes' });
    assert.equal((await hosts.choose()).port, 2);
    assert.equal((await hosts.choose()).port, 2);
    assert.deepEqual(tried, [1, 2]);
  });

  it('one that hangs does not keep the next one waiting', async () => {
    const { hosts } = servers({ 1: 'hangs', 2: 'hangs', 3: 'writes' });
    const startedAt = performance.now();
    assert.equal((await hosts.choose()).port, 3);
    assert.ok(performance.now() - startedAt < 700);
  });

  it('all are tried anew after a loss', async () => {
    const { hosts, behaviours } = servers({ 1: 'writes', 2: 'refuses', 3: 'refuses' });
    const first = await hosts.choose();
    Object.assign(behaviours, { 1: 'refuses', 3: 'writes' });
    assert.equal((await hosts.choose()).port, 1);
    hosts.leave(first);
    assert.equal((await hosts.choose()).port, 3);
  });

  it('a loss of another address than the chosen one changes nothing', async () => {
    const { hosts, tried } = servers({ 1: 'refuses', 2: 'writes', 3: 'writes' });
    await hosts.choose();
    hosts.leave({ name: '127.0.0.1', port: 1, ip: '127.0.0.1' });
    assert.equal((await hosts.choose()).port, 2);
    assert.deepEqual(tried, [1, 2]);
  });

  it('each is named with its reason when none takes changes', async () => {
    const { hosts } = servers({});
    await assert.rejects(hosts.choose(), {
      message: '127.0.0.1:1: this is a standby; [::1]:2: this is a standby; 127.0.0.3:3: this is a standby',
    });
  });

  it('one search serves all connections that wait', async () => {
    const { hosts, tried } = servers({ 1: 'refuses', 2: 'refuses', 3: 'writes' });
    const chosen = await Promise.all(Array.from({ length: 10 }, () => hosts.choose()));
    assert.deepEqual(new Set(chosen.map(({ port }) => port)), new Set([3]));
    assert.deepEqual(tried, [1, 2, 3]);
  });

  it('a name leads to each of its addresses, and keeps the name for the certificate', async () => {
    const tried: Address[] = [];
    const hosts = createHosts([{ name: 'localhost', port: 1 }, ...HOSTS.slice(1)], async (address) => {
      tried.push(address);
      throw new Error('refused');
    });
    await assert.rejects(hosts.choose());
    const named = tried.filter(({ name }) => name === 'localhost');
    assert.ok(named.length > 0);
    assert.ok(named.every(({ ip }) => ip === '127.0.0.1' || ip === '::1'));
  });

  it('a name without an address leaves the others', async () => {
    const hosts = createHosts([{ name: 'nowhere.invalid', port: 1 }, HOSTS[2]!], async () => undefined);
    assert.equal((await hosts.choose()).port, 3);
  });
});
