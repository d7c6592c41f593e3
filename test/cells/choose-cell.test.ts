import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type CellView, type Choice, chooseCell, type Requester } from '../../src/cells/choose-cell.ts';
import { type CredentialForm, readCredentialForm } from '../../src/cells/credential-form.ts';
import { mintRoutableToken } from '../../src/cells/routable-token.ts';
import { parseTopology } from '../../src/cells/topology.ts';
import { CellpassError } from '../../src/errors.ts';
import { parseScopes } from '../../src/policy/scope.ts';

const TOPOLOGY = `
cells:
  - {id: 1, legacy: true, url: https://cell-1.example.com, namespaces: [gitlab-org, many-a, many-b, many-c, many-d, many-e, many-f, many-g, many-h, many-i, many-j]}
  - {id: 2, url: https://cell-2.example.com, namespaces: [Acme, tools]}
  - {id: 10, url: https://cell-10.example.com, namespaces: [far]}
topology_service: {url: https://topology.example.com}
`;
/** What the Topology Service says of names that no cell lists; null: nobody claims it. */
const SERVICE: Readonly<Record<string, number | null | 'down'>> = {
  alice: 2,
  bob: 1,
  nobody: null,
  slow: 'down',
};

const VIEWS = new Map([1, 2, 10].map((self) => [self, createView(self)]));

function viewFrom(self: number): CellView {
  return VIEWS.get(self)!;
}

function createView(self: number): CellView {
  const topology = parseTopology(TOPOLOGY, self);
  const byId = (id: number) => topology.cells.find((cell) => cell.id === id)!;
  return {
    topology,
    self,
    cellOf: (namespace) => {
      const listed = topology.cells.find(({ namespaces }) => namespaces.includes(namespace));
      if (listed !== undefined) return listed;
      const said = SERVICE[namespace] ?? null;
      if (said === 'down') return Promise.reject(new CellpassError('unavailable', 'the service is down'));
      return Promise.resolve(said === null ? null : byId(said));
    },
  };
}

const jwt = (claims: object): string =>
  `glcbt-${[{ alg: 'none' }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')}.c2ln`;
const routable = (prefix: string, c: bigint): string => mintRoutableToken(prefix, { c, o: 1n });
const as = (password: string, username = 'alice'): CredentialForm =>
  readCredentialForm({ username, password });

/** The last digit of the checksum is another. */
const damaged = (token: string): string => token.slice(0, -1) + (token.endsWith('0') ? '1' : '0');

const FORMS = {
  anonymous: readCredentialForm(null),
  password: as('correct horse'),
  'old token': as('glpat-abcdefghijklmnopqrst'),
  'old job token': as('glcbt-abcdefghijklmnopqrst', 'gitlab-ci-token'),
  'deploy token': as('gldt-abcdefghijklmnopqrst'),
  'token of 1': as(routable('glpat-', 1n)),
  'token of 2': as(routable('glpat-', 2n)),
  'token of 10': as(routable('glpat-', 10n)),
  'token of 3': as(routable('glpat-', 3n)),
  'token of 2, no prefix': as(routable('', 2n)),
  'deploy token of 1': as(routable('gldt-', 1n)),
  'deploy token of 2': as(routable('gldt-', 2n)),
  'deploy token of 3': as(routable('gldt-', 3n)),
  'job token of 2': as(routable('glcbt-', 2n), 'gitlab-ci-token'),
  'job JWT of 2': as(jwt({ c: '2' }), 'gitlab-ci-token'),
  'job JWT of 10': as(jwt({ c: 'a' }), 'gitlab-ci-token'),
  'job JWT of 3': as(jwt({ c: '3' }), 'gitlab-ci-token'),
  'job JWT without c': as(jwt({ sub: 'x' }), 'gitlab-ci-token'),
  'job JWT with c no text': as(jwt({ c: 2 }), 'gitlab-ci-token'),
  'token without c': as(mintRoutableToken('glpat-', { o: 1n })),
  'damaged token': as(damaged(routable('glpat-', 2n))),
  'held back': { kind: 'elsewhere' },
} as const satisfies Record<string, CredentialForm>;
type FormName = keyof typeof FORMS;

const ELEVEN = 'abcdefghijk'.split('').map((letter) => `repository:many-${letter}/app:pull`);
const TEN_OF_ONE = ELEVEN.slice(0, 10);

/** `2`: cell 2 answers and takes the credentials; `2 as nobody`: it doesn't take them. */
type Expected =
  | '1'
  | '2'
  | '10'
  | '1 as nobody'
  | '2 as nobody'
  | '10 as nobody'
  | 'mixed'
  | 'unavailable'
  | 'damaged'
  | 'cell unknown';

const pull = (name: string): string => `repository:${name}:pull`;
const push = (name: string): string => `repository:${name}:pull,push`;

const ROWS: readonly [scopes: readonly string[], credentials: FormName, expected: Expected][] = [
  // Nothing asked: the token says where, else the legacy cell.
  [[], 'anonymous', '1'],
  [[], 'password', '1'],
  [[], 'old token', '1'],
  [[], 'old job token', '1'],
  [[], 'deploy token', '1'],
  [[], 'token of 1', '1'],
  [[], 'token of 2', '2'],
  [[], 'token of 10', '10'],
  [[], 'token of 3', 'cell unknown'],
  [[], 'token of 2, no prefix', '2'],
  [[], 'token without c', '1'],
  [[], 'deploy token of 1', '1'],
  [[], 'deploy token of 2', '2'],
  [[], 'deploy token of 3', 'cell unknown'],
  [[], 'job token of 2', '2'],
  [[], 'job JWT of 2', '2'],
  [[], 'job JWT of 10', '10'],
  [[], 'job JWT of 3', 'cell unknown'],
  [[], 'job JWT without c', '1'],
  [[], 'job JWT with c no text', '1'],
  [[], 'damaged token', 'damaged'],
  [[], 'held back', '1 as nobody'],
  // What says nothing of a cell.
  [['registry:catalog:*'], 'token of 2', '2'],
  [['registry:catalog:*'], 'password', '1'],
  [['registry:catalog:*', pull('acme/app')], 'password', '2 as nobody'],
  [['*'], 'token of 2', '2'],
  [['repository:acme:pull'], 'password', '1'],
  [['repository:acme/app:fly'], 'password', '1'],
  [['repository:host:5000/acme/app:pull'], 'password', '1'],
  // One cell by what is read.
  [[pull('acme/app')], 'anonymous', '2'],
  [[pull('acme/app')], 'token of 2', '2'],
  [[pull('acme/app')], 'token of 1', '2 as nobody'],
  [[pull('acme/app')], 'password', '2 as nobody'],
  [[pull('acme/app')], 'old token', '2 as nobody'],
  [[pull('acme/app')], 'deploy token', '2 as nobody'],
  [[pull('acme/app')], 'deploy token of 2', '2'],
  [[pull('acme/app')], 'job token of 2', '2'],
  [[pull('acme/app')], 'held back', '2 as nobody'],
  [[pull('acme/app')], 'token of 3', 'cell unknown'],
  [[pull('acme/app')], 'damaged token', 'damaged'],
  [[pull('gitlab-org/app')], 'token of 2', '1 as nobody'],
  [[pull('gitlab-org/app')], 'token of 1', '1'],
  [[pull('gitlab-org/app')], 'password', '1'],
  [[pull('gitlab-org/app')], 'deploy token of 1', '1'],
  [[pull('gitlab-org/app')], 'deploy token of 2', '1 as nobody'],
  [[pull('far/away/deep/app')], 'token of 10', '10'],
  [[pull('far/away/deep/app')], 'token of 2', '10 as nobody'],
  // Names are compared as everywhere: lower case, and the first component whole.
  [[pull('ACME/app')], 'anonymous', '2'],
  [[pull('Acme/App')], 'token of 2', '2'],
  [[pull('acmes/app')], 'token of 2', '2'],
  [[pull('acmes/app')], 'password', '1'],
  [[pull('gitlab-org.acme/app')], 'password', '1'],
  // Several scopes of one cell.
  [[pull('acme/a'), pull('acme/b'), pull('tools/c')], 'anonymous', '2'],
  [[push('acme/a'), push('tools/c')], 'token of 2', '2'],
  [TEN_OF_ONE, 'anonymous', '1'],
  // Writes decide over reads: a mount from another cell is left out there.
  [[push('acme/a'), pull('gitlab-org/base')], 'token of 2', '2'],
  [[pull('gitlab-org/base'), push('acme/a')], 'token of 2', '2'],
  [[push('gitlab-org/base'), pull('acme/a')], 'token of 2', '1 as nobody'],
  [['repository:acme/a:delete', pull('gitlab-org/base')], 'token of 2', '2'],
  [['repository:acme/a:*', pull('gitlab-org/base')], 'token of 2', '2'],
  [[push('acme/a'), ...ELEVEN], 'token of 2', '2'],
  // Several cells, or too many names.
  [[pull('acme/a'), pull('gitlab-org/b')], 'anonymous', 'mixed'],
  [[pull('gitlab-org/b'), pull('acme/a')], 'token of 2', 'mixed'],
  [[push('acme/a'), push('gitlab-org/b')], 'token of 2', 'mixed'],
  [[push('acme/a'), push('far/b'), pull('gitlab-org/b')], 'password', 'mixed'],
  [ELEVEN, 'anonymous', 'mixed'],
  [ELEVEN.map((scope) => scope.replace('pull', 'push')), 'token of 2', 'mixed'],
  // Names that no cell lists.
  [[pull('alice/app')], 'token of 1', '2 as nobody'],
  [[pull('alice/app')], 'password', '2 as nobody'],
  [[pull('bob/app')], 'password', '1'],
  [[pull('bob/app'), pull('gitlab-org/b')], 'password', '1'],
  [[pull('bob/app'), pull('alice/b')], 'password', 'mixed'],
  [[pull('nobody/app')], 'anonymous', '1'],
  [[pull('nobody/app')], 'token of 2', '2'],
  [[pull('nobody/app'), pull('acme/a')], 'password', '2 as nobody'],
  // A failed look-up is never taken for no cell.
  [[pull('slow/app')], 'anonymous', 'unavailable'],
  [[pull('slow/app')], 'token of 2', 'unavailable'],
  [[pull('slow/app'), pull('acme/a')], 'token of 2', 'unavailable'],
  [[push('acme/a'), pull('slow/app')], 'token of 2', '2'],
];

const STRANGER: Requester = {
  network: '192.0.2.1',
  isKnown: false,
  gone: () => new AbortController().signal,
};

async function outcomeOf(scopes: readonly string[], form: CredentialForm, self = 1): Promise<string> {
  try {
    return describeChoice(
      await chooseCell({ scopes: parseScopes(scopes).scopes, form, requester: STRANGER }, viewFrom(self)),
      self,
    );
  } catch (error) {
    if (!(error instanceof CellpassError)) throw error;
    return error.code === 'mixed_cells' ? 'mixed' : error.code;
  }
}

function describeChoice(choice: Choice, self: number): string {
  if (choice.kind === 'refused') return choice.reason === 'token_damaged' ? 'damaged' : 'cell unknown';
  assert.equal(choice.kind, choice.cell.id === self ? 'here' : 'there');
  return `${choice.cell.id}${choice.takesCredentials ? '' : ' as nobody'}`;
}

describe('which cell answers', () => {
  for (const [scopes, credentials, expected] of ROWS) {
    const asked =
      scopes.length > 3 ? `${scopes.length} scopes from ${scopes[0]}` : scopes.join(' ') || 'no scope';
    it(`${asked}, ${credentials}: ${expected}`, async () => {
      assert.equal(await outcomeOf(scopes, FORMS[credentials], 1), expected);
      if (credentials === 'held back') return;
      assert.equal(await outcomeOf(scopes, FORMS[credentials], 2), expected, 'every cell must say the same');
    });
  }

  it('is looked up no further when nobody waits for the answer', async () => {
    const asked: string[] = [];
    const gone = new AbortController();
    const view: CellView = {
      ...viewFrom(1),
      cellOf: async (namespace) => {
        asked.push(namespace);
        gone.abort();
        return null;
      },
    };
    const { scopes } = parseScopes([pull('a/x'), pull('b/x'), pull('c/x')]);
    const requester = { ...STRANGER, gone: () => gone.signal };
    await assert.rejects(chooseCell({ scopes, form: FORMS.anonymous, requester }, view), {
      code: 'unavailable',
      reason: 'client_gone',
    });
    assert.deepEqual(asked, ['a']);
  });

  it('is the cell that another one chose, where the credentials that it chose by are held back', async () => {
    assert.equal(await outcomeOf([], FORMS['held back'], 2), '2 as nobody');
    assert.equal(await outcomeOf([pull('nobody/app')], FORMS['held back'], 10), '10 as nobody');
    assert.equal(await outcomeOf([pull('acme/app')], FORMS['held back'], 10), '2 as nobody');
  });

  it('is the only cell there is, however many names are asked for', async () => {
    const topology = parseTopology('cells: [{id: 4, legacy: true, url: http://localhost:1}]', 4);
    const view: CellView = { topology, self: 4, cellOf: () => assert.fail('nobody need be asked') };
    const choice = await chooseCell(
      { scopes: parseScopes(ELEVEN).scopes, form: FORMS.password, requester: STRANGER },
      view,
    );
    assert.deepEqual(choice, { kind: 'here', cell: topology.cells[0], takesCredentials: true });
  });
});

const names = ['acme', 'tools', 'gitlab-org', 'far', 'alice', 'bob', 'nobody', 'slow', 'Acme', 'many-a'];
const anyScope = fc
  .tuple(
    fc.constantFrom(...names),
    fc.constantFrom('app', 'a/b', 'a/b/c'),
    fc.subarray(['pull', 'push', 'delete', '*', 'fly']),
  )
  .map(([namespace, rest, actions]) => `repository:${namespace}/${rest}:${actions.join(',')}`);
const anyScopes = fc.array(
  fc.oneof(anyScope, fc.constantFrom('registry:catalog:*', '*', 'repository:a:pull')),
  { maxLength: 14 },
);
const anyForm = fc.constantFrom(...Object.values<CredentialForm>(FORMS));
const DOCUMENTED: ReadonlySet<string> = new Set<Expected>([
  ...(['1', '2', '10', '1 as nobody', '2 as nobody', '10 as nobody'] as const),
  ...(['mixed', 'unavailable', 'damaged', 'cell unknown'] as const),
]);

describe('which cell answers, for any scopes and credentials', () => {
  const RUNS = { numRuns: 3000 };

  it('is a cell of the topology, or one of the documented errors', async () => {
    await fc.assert(
      fc.asyncProperty(anyScopes, anyForm, async (scopes, form) => {
        const outcome = await outcomeOf(scopes, form);
        assert.ok(DOCUMENTED.has(outcome), outcome);
      }),
      RUNS,
    );
  });

  it('does not depend on the order of scopes', async () => {
    const shuffled = anyScopes.chain((scopes) =>
      fc.tuple(fc.constant(scopes), fc.shuffledSubarray(scopes, { minLength: scopes.length })),
    );
    await fc.assert(
      fc.asyncProperty(shuffled, anyForm, async ([scopes, others], form) => {
        assert.equal(await outcomeOf(others, form), await outcomeOf(scopes, form));
      }),
      RUNS,
    );
  });

  it('does not change with what is read, where something is written', async () => {
    await fc.assert(
      fc.asyncProperty(
        anyScopes,
        anyScope,
        fc.array(fc.constantFrom(...names)),
        anyForm,
        async (scopes, written, read, form) => {
          const asked = [...scopes, written.replace(/:[^:]*$/, ':push')];
          const more = [...asked, ...read.map((name) => pull(`${name}/read-only`))];
          assert.equal(await outcomeOf(more, form), await outcomeOf(asked, form));
        },
      ),
      RUNS,
    );
  });

  it('is the same cell whichever cell is asked', async () => {
    await fc.assert(
      fc.asyncProperty(anyScopes, anyForm, async (scopes, form) => {
        fc.pre(form.kind !== 'elsewhere');
        assert.equal(await outcomeOf(scopes, form, 10), await outcomeOf(scopes, form, 1));
      }),
      RUNS,
    );
  });
});
