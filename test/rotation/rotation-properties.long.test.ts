import fc from 'fast-check';
import type { KeySet } from '../../src/keys/key-set.ts';
import type { MasterKey } from '../../src/keys/master-key.ts';
import { openKeySet } from '../../src/keys/open-key-set.ts';
import { LEAF_HOURS, START, startedCell } from '../support/keys.ts';
import {
  type Command,
  type CrashPoint,
  type KeyPool,
  LONGEST_SECONDS,
  makeKeyPool,
  World,
} from './rotation-world.ts';

const RUNS = 150;
const POOL_SIZE = 12;
/**
 * Within this a clock may be set back although a process forgets what it saw when it dies: the
 * minute after the longest token.
 */
const FORGOTTEN_SECONDS = 25;
const MAX_COMMANDS = 30;

const replica = fc.nat({ max: 1 });
const crashPoint = fc.constantFrom<CrashPoint>('before', 'after', 'reading');
const kinds = fc.constantFrom(
  'stage',
  'activate',
  'force',
  'rotate',
  'rotate',
  'drop',
  'revoke_active',
  'tick',
);
const step = fc.record({ do: kinds, replica });
const crashingStep = fc.record({ do: kinds, replica, crash: crashPoint });
const pass: fc.Arbitrary<Command> = fc.record({
  do: fc.constant('pass' as const),
  seconds: fc.oneof(
    fc.constantFrom(1, 9, 10, 11, 60, 299, 300, 301, 600, 660, 661),
    fc.integer({ min: 0, max: 2 * 86_400 }),
  ),
});
const jump = (min: number, max: number): fc.Arbitrary<Command> =>
  fc.record({ do: fc.constant('jump' as const), seconds: fc.integer({ min, max }) });
const link: fc.Arbitrary<Command> = fc.record({
  do: fc.constantFrom('cut' as const, 'heal' as const),
  replica,
});
const race: fc.Arbitrary<Command> = fc.constant({ do: 'rotate_on_all' });
/**
 * What chance alone would seldom put together: a key that may sign, a rotation behind the other
 * replica's back, and a little later.
 */
const story: fc.Arbitrary<readonly Command[]> = fc
  .record({
    seconds: fc.constantFrom(1, 11, 15, 301, 650),
    crash: fc.option(crashPoint, { nil: undefined }),
    isCut: fc.boolean(),
  })
  .map(({ seconds, crash, isCut }) => [
    { do: 'stage', replica: 0 },
    { do: 'pass', seconds: 300 },
    { do: isCut ? 'cut' : 'heal', replica: 1 },
    { do: 'rotate', replica: 0, crash },
    { do: 'pass', seconds },
  ]);
const steps = (single: fc.Arbitrary<Command>): fc.Arbitrary<Command[]> =>
  fc
    .array(fc.oneof({ weight: 5, arbitrary: single.map((one) => [one]) }, { weight: 1, arbitrary: story }), {
      maxLength: MAX_COMMANDS,
    })
    .map((lists) => lists.flat());

describe('the rotation of two replicas, over random commands', function () {
  this.timeout(120_000);
  let start: KeySet;
  let masterKey: MasterKey;
  let pool: KeyPool;

  before(async () => {
    const cell = await startedCell();
    masterKey = cell.masterKey;
    const keys = cell.started.keys.map((key) => ({ ...key, longestTokenSeconds: LONGEST_SECONDS }));
    start = { ...cell.started, keys };
    const [authority] = (await openKeySet(start, masterKey)).authorities.values();
    if (authority === undefined) throw new Error('a started cell has a CA');
    const input = { authority, masterKey, now: new Date(START), leafHours: LEAF_HOURS };
    pool = await makeKeyPool({ ...input, longestTokenSeconds: LONGEST_SECONDS }, POOL_SIZE);
  });

  async function play(commands: readonly Command[]): Promise<void> {
    const world = new World(start, masterKey, pool);
    try {
      await world.start(2);
      for (const command of commands) await world.run(command);
    } finally {
      await world.close();
    }
  }

  const kept =
    'exactly one key is active, none signs before its time or after its end, every living token can be verified, all replicas agree';

  it(`with processes that die at every step, and a clock that is set back a little: ${kept}`, async () => {
    const calm = fc.oneof(step, crashingStep, pass, link, race);
    const commands = steps(calm);
    const withJumps = fc
      .tuple(commands, fc.nat(), fc.nat(), jump(-FORGOTTEN_SECONDS, 0), jump(-FORGOTTEN_SECONDS, 0))
      .map(([list, a, b, first, second]) => {
        const mixed: Command[] = [...list];
        mixed.splice(a % (mixed.length + 1), 0, first);
        mixed.splice(b % (mixed.length + 1), 0, second);
        return mixed;
      });
    await fc.assert(fc.asyncProperty(withJumps, play), { numRuns: RUNS });
  });

  it(`with a clock that is set to and fro as it likes: ${kept}`, async () => {
    const commands = fc.array(fc.oneof(step, pass, race, jump(-100_000, 100_000)), {
      maxLength: MAX_COMMANDS,
    });
    await fc.assert(fc.asyncProperty(commands, play), { numRuns: RUNS });
  });
});
