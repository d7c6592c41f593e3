import assert from 'node:assert/strict';
import fc from 'fast-check';
import request from 'supertest';
import { ACTIONS, type Action } from '../../src/policy/role.ts';
import type { Login } from '../support/directory/acme.ts';
import {
  DEPLOY_TOKEN_SCOPES,
  FULL,
  GRID,
  GUARDED,
  HIDDEN,
  type Holder,
  TAGGED,
  TOKEN_SCOPES,
} from '../support/directory/town.ts';
import { situation, tokenUser } from '../support/policy/arbitrary.ts';
import { aUser, decide } from '../support/policy/subjects.ts';
import { assertError, claimsOf, grantedBy } from '../support/reading.ts';
import { visitTown } from './fixtures/town-server.ts';

/** The actions that a token scope allows, in the policy's terms. */
const CAN: Readonly<Record<string, readonly Action[]>> = {
  api: ['pull', 'push', 'delete', '*'],
  read_api: ['pull'],
  read_registry: ['pull'],
  write_registry: ['push'],
};

function abilitiesOf(tokenScopes: readonly string[]): ReadonlySet<string> {
  return new Set(tokenScopes.flatMap((scope) => CAN[scope] ?? []));
}

describe('security checks: the rights of each credential', () => {
  const { town, server, ask, granted } = visitTown();

  describe('security check 9: no token does more than its owner and its scopes', () => {
    /** All projects but the protected ones: those would make the whole request a 403. */
    const EVERYTHING = [...GRID.map(({ path }) => path), TAGGED, HIDDEN, 'village/inn', 'town/gone'].map(
      (name) => `repository:${name}:pull,push,delete,*`,
    );
    const single = (scopes: readonly string[]): readonly string[] =>
      scopes.flatMap((scope) => {
        const at = scope.lastIndexOf(':');
        return scope
          .slice(at + 1)
          .split(',')
          .map((action) => `${scope.slice(0, at)}:${action}`);
      });

    for (const [kind, holders, owner] of [
      ['personal tokens of an owner', town.personal, town.users.owner],
      ['tokens of a group, as maintainer', town.group, town.users.maintainer],
    ] as const) {
      it(`${kind}, in every project: ${holders.length} choices of scopes`, async () => {
        const owned = single(await granted(owner, ...EVERYTHING));
        for (const { login, tokenScopes } of holders) {
          const abilities = abilitiesOf(tokenScopes);
          if (abilities.size === 0) continue;
          const expected = owned.filter((scope) => abilities.has(scope.slice(scope.lastIndexOf(':') + 1)));
          const isElsewhere = (scope: string) => kind.includes('group') && scope.includes('village');
          const actual = single(await granted(login, ...EVERYTHING));
          assert.deepEqual(
            actual,
            expected.filter((scope) => !isElsewhere(scope)),
            `${tokenScopes}`,
          );
        }
      });
    }

    it('in 20,000 random situations', function () {
      this.timeout(60_000);
      let grants = 0;
      fc.assert(
        fc.property(situation(tokenUser), (at) => {
          const { tokenScopes, person } = at.subject;
          const abilities = abilitiesOf(tokenScopes?.length ? tokenScopes : ['api']);
          const owner = decide({ ...at, subject: aUser(person) });
          // Where the owner's own request is a 403, each ruling still says what the owner may do.
          const owned = new Set(
            owner.rulings
              .filter(({ verdict }) => verdict === 'grant')
              .map(({ scope, action }) => `${scope.type}:${scope.name}:${action}`),
          );
          for (const { type, name, actions } of decide(at).access) {
            for (const action of actions) {
              grants += 1;
              assert.ok(abilities.has(action) && owned.has(`${type}:${name}:${action}`), action);
            }
          }
        }),
        { numRuns: 20_000 },
      );
      assert.ok(grants > 2000, `only ${grants} grants were looked at`);
    });
  });

  describe('security check 10: a credential without a registry scope does not even log in', () => {
    const kinds: readonly [kind: string, holders: readonly Holder[], most: readonly string[]][] = [
      [`personal tokens of an owner`, town.personal, ACTIONS],
      ['tokens of a project, as developer', town.project, ['pull', 'push']],
      ['tokens of a group, as maintainer', town.group, ACTIONS],
      ['deploy tokens of a project', town.projectDeploy, ['pull', 'push']],
      ['deploy tokens of a group', town.groupDeploy, ['pull', 'push']],
    ];
    for (const [kind, holders, most] of kinds) {
      it(`${kind}: ${holders.length} choices of scopes`, async () => {
        for (const { login, tokenScopes } of holders) {
          const abilities = abilitiesOf(tokenScopes);
          if (abilities.size === 0) {
            for (const scopes of [[], ['repository:town/public-enabled:pull']]) {
              assertError(await ask(login, ...scopes), 403, 'DENIED');
            }
            continue;
          }
          assert.deepEqual(await granted(login), [], 'logs in');
          for (const action of ACTIONS) {
            const scope = `repository:${TAGGED}:${action}`;
            const expected = abilities.has(action) && most.includes(action) ? [scope] : [];
            assert.deepEqual(await granted(login, scope), expected, `${tokenScopes}: ${action}`);
          }
        }
      });
    }

    it('the choices include each scope alone', () => {
      const alone = (holders: readonly Holder[]) =>
        holders
          .filter(({ tokenScopes }) => tokenScopes.length === 1)
          .map(({ tokenScopes }) => tokenScopes[0]);
      assert.deepEqual(alone(town.personal).toSorted(), [...TOKEN_SCOPES].toSorted());
      assert.deepEqual(alone(town.groupDeploy).toSorted(), [...DEPLOY_TOKEN_SCOPES].toSorted());
    });
  });

  describe('security check 19: the catalog is for admins alone', () => {
    const SCOPE = 'registry:catalog:*';
    it('an anonymous client is refused', async () => {
      assertError(await ask(null, SCOPE), 403, 'DENIED');
    });
    it('a user of any role, an auditor, a bot, a deploy token and a job, even an admin’s, are refused', async () => {
      const { root: _, ...users } = town.users;
      const others = [town.personal, town.group, town.groupDeploy].map(([first]) => first!.login);
      for (const login of [
        ...Object.values(users),
        town.passwords.owner,
        ...Object.values(town.jobs),
        ...others,
      ]) {
        assert.deepEqual(await granted(login, SCOPE), [], login[0]);
      }
    });
    it('an admin gets it, by password or a token with api, and only for exactly *', async () => {
      for (const login of [town.users.root, town.passwords.root]) {
        assert.deepEqual(await granted(login, SCOPE), [SCOPE]);
        for (const other of ['pull', '*,pull', 'pull,*', '*,other']) {
          assert.deepEqual(await granted(login, `registry:catalog:${other}`), [], other);
        }
      }
    });
  });

  describe('security check 26: granted is part of what was asked', () => {
    const logins: readonly (Login | null)[] = [
      null,
      ...Object.values(town.users),
      ...Object.values(town.jobs),
      ...[town.personal, town.project, town.group, town.projectDeploy, town.groupDeploy].flatMap((holders) =>
        holders.map(({ login }) => login),
      ),
    ];
    const names = [
      ...GRID.map(({ path }) => path),
      TAGGED,
      `${GUARDED}/image`,
      `${GUARDED}/prod`,
      FULL,
      HIDDEN,
    ];
    const scope = fc
      .tuple(
        fc.constantFrom(...names),
        fc.array(fc.constantFrom(...ACTIONS, 'admin'), { minLength: 1, maxLength: 5 }),
      )
      .map(([name, actions]) => ({ name, actions }));

    it('300 random requests of all subjects', async () => {
      const statuses = new Set<number>();
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom(...logins),
          fc.uniqueArray(scope, { minLength: 1, maxLength: 4, selector: ({ name }) => name }),
          async (login, scopes) => {
            const texts = scopes.map(({ name, actions }) => `repository:${name}:${actions}`);
            const response = await ask(login, ...texts);
            statuses.add(response.status);
            if (response.status !== 200) {
              assertError(response, 403, 'DENIED');
              return;
            }
            const { access } = await claimsOf(server(), response);
            const asked = scopes.map(({ name }) => name);
            assert.deepEqual(
              access.map(({ name }) => name),
              asked.filter((name) => access.some((entry) => entry.name === name)),
            );
            for (const { type, name, actions } of access) {
              const wanted = new Set(scopes.find((one) => one.name === name)?.actions);
              assert.equal(type, 'repository');
              assert.ok(actions.length > 0);
              assert.deepEqual(
                actions,
                [...wanted].filter((action) => actions.some((one) => one === action)),
              );
            }
          },
        ),
        { numRuns: 300 },
      );
      assert.deepEqual([...statuses].toSorted(), [200, 403]);
    });
  });

  describe('security check 28: who the token is about comes from the credentials alone', () => {
    const PRETENCES = [
      'account=root',
      'account=root&account=owner',
      'account=',
      'sub=root',
      'username=root',
      'user=root',
      'client_id=root',
    ];
    const SCOPE = 'repository:town/private-enabled:pull';
    const rows: readonly [who: string, login: Login, sub: string][] = [
      ['a user', town.users.owner, 'owner'],
      ["a user's token under an admin's name", ['root', town.users.owner[1]], 'owner'],
      ['a deploy token', town.groupDeploy[0]!.login, town.groupDeploy[0]!.login[0]],
      ['a job', town.jobs.developer, 'developer'],
      ['a job without a user', town.jobs.nobody, ''],
    ];
    const query = `/jwt/auth?service=container_registry&scope=${SCOPE}`;
    for (const [who, login, sub] of rows) {
      it(`${who} → sub ${JSON.stringify(sub)}`, async () => {
        const expected = await granted(login, SCOPE);
        for (const pretence of PRETENCES) {
          const response = await request(server().app)
            .get(`${query}&${pretence}`)
            .auth(...login);
          assert.equal((await claimsOf(server(), response)).sub, sub, pretence);
          assert.deepEqual(await grantedBy(server(), response), expected, pretence);
        }
      });
    }

    it('an anonymous client stays anonymous', async () => {
      for (const pretence of PRETENCES) {
        assertError(await request(server().app).get(`${query}&${pretence}`), 403, 'DENIED');
        const open = await request(server().app).get(`${query.replace('private', 'public')}&${pretence}`);
        assert.equal((await claimsOf(server(), open)).sub, '', pretence);
      }
    });

    it('a form with one user’s password and another user’s account', async () => {
      const [username, password] = town.passwords.owner;
      const form = {
        grant_type: 'password',
        service: 'container_registry',
        username,
        password,
        account: 'root',
      };
      const response = await request(server().app).post('/jwt/auth').type('form').send(form);
      assert.equal((await claimsOf(server(), response)).sub, 'owner');
    });
  });
});
