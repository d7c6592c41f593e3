import assert from 'node:assert/strict';
import { pino } from 'pino';
import { type Hasher, type HasherOptions, startHasher } from '../../../src/server/hashing/hasher.ts';
import { until } from '../../support/processes/child.ts';
import { hashersOf, niceOfThreads } from '../../support/processes/children.ts';

const AWAY = { code: 'unavailable', details: { reason: 'password_hasher', retryAfterSeconds: 1 } };
const NICE = 10;

describe('the process that hashes passwords', function () {
  this.timeout(30_000);
  const said: { readonly msg: string }[] = [];
  const log = pino({}, { write: (line: string) => said.push(JSON.parse(line)) });
  let hasher: Hasher;

  const start = async (lanes = 1, more: Partial<HasherOptions> = {}): Promise<void> => {
    const options: HasherOptions = { lanes, log, ...more };
    said.length = 0;
    hasher = await startHasher(options);
  };
  const pid = (): number => {
    const pids = hashersOf(process.pid);
    assert.equal(pids.length, 1);
    return pids[0]!;
  };
  afterEach(() => hasher.close());

  it('hashes and verifies', async () => {
    await start();
    const hash = await hasher.hash('correct horse');
    assert.match(hash, /^\$argon2id\$v=19\$m=19456,/);
    assert.equal(await hasher.verify(hash, 'correct horse'), true);
    assert.equal(await hasher.verify(hash, 'correct horsf'), false);
    assert.deepEqual(said, []);
  });

  it('says of what is no hash that it is wrong, and goes on', async () => {
    await start();
    await assert.rejects(hasher.verify('not a hash', 'x'), { name: 'Error' });
    assert.match(await hasher.hash('x'), /^\$argon2id/);
  });

  (process.platform === 'linux' ? it : it.skip)(
    'lets everything else go first, with each of its threads',
    async () => {
      await start(2);
      await Promise.all([hasher.hash('a'), hasher.hash('b')]);
      const nices = niceOfThreads(pid());
      assert.ok(nices.length > 2);
      assert.deepEqual(new Set(nices), new Set([NICE]));
      assert.ok(
        niceOfThreads(process.pid).every((nice) => nice < NICE),
        'and nobody but itself',
      );
    },
  );

  it('hashes also where it may not give way, and says so once', async () => {
    const refusing =
      "import os from 'node:os'; import { syncBuiltinESMExports } from 'node:module';" +
      "os.setPriority = () => { throw new Error('not allowed here'); }; syncBuiltinESMExports();";
    const { NODE_OPTIONS } = process.env;
    process.env['NODE_OPTIONS'] =
      `${NODE_OPTIONS ?? ''} --import=data:text/javascript,${encodeURIComponent(refusing)}`;
    try {
      await start();
    } finally {
      if (NODE_OPTIONS === undefined) delete process.env['NODE_OPTIONS'];
      else process.env['NODE_OPTIONS'] = NODE_OPTIONS;
    }
    assert.match(await hasher.hash('x'), /^\$argon2id/);
    assert.deepEqual(
      said.map((line) => [line.msg, 'problem' in line && line.problem]),
      [['passwords are hashed with the same priority as everything else', 'not allowed here']],
    );
  });

  it('that dies answers nobody, and the next password starts another', async () => {
    await start();
    const hash = await hasher.hash('x');
    const victim = pid();
    // So that it can't be done before it is dead.
    process.kill(victim, 'SIGSTOP');
    const lost = [hasher.verify(hash, 'x'), hasher.verify(hash, 'y'), hasher.hash('z')];
    process.kill(victim, 'SIGKILL');
    for (const outcome of lost) await assert.rejects(outcome, AWAY);
    assert.deepEqual(await Promise.all([hasher.verify(hash, 'x'), hasher.verify(hash, 'y')]), [true, false]);
    assert.notEqual(pid(), victim);
    assert.equal(said.filter(({ msg }) => msg.includes('ended')).length, 1);
  });

  it('that hangs is replaced: what waited is unavailable, and the next password starts another', async () => {
    // On a busy machine a process may take seconds to start.
    await start(1, { stuckMs: 5000 });
    const hash = await hasher.hash('x');
    const victim = pid();
    process.kill(victim, 'SIGSTOP');
    await Promise.all([1, 2, 3].map(() => assert.rejects(hasher.verify(hash, 'x'), AWAY)));
    assert.equal(await hasher.verify(hash, 'x'), true);
    assert.notEqual(pid(), victim);
    assert.equal(said.filter(({ msg }) => msg.includes('gives no answer')).length, 1);
  });

  it('does not die of signals to the whole group, which the server answers', async () => {
    await start();
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.kill(pid(), signal);
    assert.match(await hasher.hash('x'), /^\$argon2id/);
  });

  it('is gone when it is closed, and then unavailable', async () => {
    await start();
    const last = pid();
    await hasher.close();
    assert.throws(() => process.kill(last, 0), { code: 'ESRCH' });
    await assert.rejects(hasher.hash('x'), AWAY);
    assert.deepEqual(said, []);
  });

  it('that is closed while it stands still is ended', async () => {
    await start();
    const last = pid();
    process.kill(last, 'SIGSTOP');
    await hasher.close();
    await until(
      () => (hashersOf(process.pid).length === 0 ? true : undefined),
      () => `${last} is still there`,
    );
  });
});
