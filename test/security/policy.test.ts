import assert from 'node:assert/strict';
import { ACTIONS, ROLES } from '../../src/policy/role.ts';
import type { Login } from '../support/directory/acme.ts';
import { ABSENT, GRID, GUARDED, type Holder, TAGGED } from '../support/directory/town.ts';
import { assertError, claimsOf } from '../support/reading.ts';
import { visitTown, withScopes } from './fixtures/town-server.ts';

describe('security checks: what is granted', () => {
  const { town, server, ask, granted } = visitTown();

  describe('security check 2: anonymous never gets a private image', () => {
    for (const { path, visibility, registry } of GRID) {
      for (const action of ACTIONS) {
        const isOpen = visibility === 'public' && registry === 'enabled' && action === 'pull';
        it(`${visibility}, registry ${registry}: ${action} → ${isOpen ? 'granted' : '403'}`, async () => {
          const scope = `repository:${path}:${action}`;
          if (isOpen) assert.deepEqual(await granted(null, scope), [scope]);
          else assertError(await ask(null, scope), 403, 'DENIED');
        });
      }
    }

    it('not even together with a public one, in one scope or in many', async () => {
      const everything = GRID.map(({ path }) => `repository:${path}:pull,push,delete,*`);
      const open = ['repository:town/public-enabled:pull'];
      assert.deepEqual(await granted(null, ...everything), open);
      assert.deepEqual(await granted(null, everything.join(' ')), open);
    });

    it('nor with a header that is no credential: another scheme, or empty:empty', async () => {
      for (const header of ['Bearer x', 'Digest username="owner"', 'Basic Og==']) {
        const asked = server().ask({ scope: 'repository:town/private-enabled:pull' });
        assertError(await asked.set('Authorization', header), 403, 'DENIED');
      }
    });

    it('nor what is below it, nor what does not exist', async () => {
      for (const name of ['town/private-enabled/image', 'town/private-enabled/a/b', ABSENT]) {
        assertError(await ask(null, `repository:${name}:pull`), 403, 'DENIED');
      }
    });
  });

  describe('security check 6: push never brings delete, nor * along', () => {
    const PLAIN = 'repository:town/private-enabled';
    const deletes: readonly string[] = ['maintainer', 'owner'];
    const pushes: readonly string[] = ['developer', ...deletes];
    for (const role of ROLES) {
      it(`${role}: what is asked and no more`, async () => {
        const login = town.users[role];
        const may = (scope: string, allowed: readonly string[]) => (allowed.includes(role) ? [scope] : []);
        assert.deepEqual(await granted(login, `${PLAIN}:push`), may(`${PLAIN}:push`, pushes));
        for (const action of ['delete', '*']) {
          assert.deepEqual(await granted(login, `${PLAIN}:${action}`), may(`${PLAIN}:${action}`, deletes));
        }
        const both = await granted(login, `${PLAIN}:pull,push`);
        assert.deepEqual(
          both.filter((scope) => /delete|\*/.test(scope)),
          [],
        );
      });
    }

    it('not to an admin, a bot, a deploy token or a job either', async () => {
      const writers = [town.users.root, town.passwords.owner, town.jobs.developer];
      const holders = [...town.project, ...town.group, ...town.projectDeploy, ...town.groupDeploy];
      const all: Login[] = [...writers, ...holders.filter(isPusher).map(({ login }) => login)];
      for (const login of all) {
        const scopes = await granted(login, `repository:${TAGGED}:push`);
        assert.deepEqual(scopes, [`repository:${TAGGED}:push`], login[0]);
      }
    });
  });

  describe('security check 7: every push carries the rules for tags, latest included', () => {
    const IMMUTABLE = ['release-.*'];
    const rows: readonly [who: string, login: Login, push: readonly string[] | undefined][] = [
      ['a developer', town.users.developer, ['latest', 'v.*']],
      ['a maintainer', town.users.maintainer, ['v.*']],
      ['an owner', town.users.owner, ['v.*']],
      ['an owner with a password', town.passwords.owner, ['v.*']],
      ['an admin', town.users.root, []],
      ['a bot of the project, a developer', town.project[0]!.login, ['latest', 'v.*']],
      ['a bot of the group, a maintainer', town.group[0]!.login, ['v.*']],
      ['a job of a developer', town.jobs.developer, ['latest', 'v.*']],
      ['a deploy token, which has no role to compare', town.projectDeploy.find(isPusher)!.login, undefined],
    ];
    for (const [who, login, push] of rows) {
      it(`${who}: ${push === undefined ? 'only the immutable ones' : `push denied for [${push}]`}`, async () => {
        for (const name of [TAGGED, `${TAGGED}/image`]) {
          for (const actions of ['push', 'pull,push', 'push,pull']) {
            const { access } = await claimsOf(server(), await ask(login, `repository:${name}:${actions}`));
            assert.equal(access.length, 1);
            assert.deepEqual(access[0]?.meta?.tag_deny_access_patterns, push && { push });
            assert.deepEqual(access[0]?.meta?.tag_immutable_patterns, IMMUTABLE);
          }
        }
      });
    }

    it('* counts as a push and as a delete', async () => {
      const { access } = await claimsOf(server(), await ask(town.users.maintainer, `repository:${TAGGED}:*`));
      assert.deepEqual(access[0]?.meta?.tag_deny_access_patterns, {
        push: ['v.*'],
        delete: ['latest', 'v.*'],
      });
    });
  });

  describe('security check 8: with two repositories each is held against the limits of the credential', () => {
    const FROM = 'village/inn';
    const BOTH = [`repository:${TAGGED}:pull,push`, `repository:${FROM}:pull`];
    const rows: readonly [who: string, login: () => Login, expected: readonly string[]][] = [
      ['the owner of both, by a token with api', () => town.users.owner, BOTH],
      [
        'the same owner, by a token that reads',
        () => withScopes(town.personal, 'read_registry'),
        [`repository:${TAGGED}:pull`, BOTH[1]!],
      ],
      [
        'the same owner, by a token that writes',
        () => withScopes(town.personal, 'write_registry'),
        [`repository:${TAGGED}:push`],
      ],
      ['a bot of one project', () => town.project[0]!.login, [BOTH[0]!]],
      ['a bot of one group', () => town.group[0]!.login, [BOTH[0]!]],
      ['a deploy token of one project', () => deployToken(town.projectDeploy), [BOTH[0]!]],
      ['a deploy token of one group', () => deployToken(town.groupDeploy), [BOTH[0]!]],
      ['a job whose user has a role in both', () => town.jobs.developer, [BOTH[0]!]],
    ];
    for (const [who, login, expected] of rows) {
      it(`${who}: ${expected.join(' ')}`, async () => {
        assert.deepEqual(await granted(login(), ...BOTH), expected);
        assert.deepEqual(await granted(login(), ...BOTH.toReversed()), expected.toReversed());
      });
    }

    it('a protected repository refuses the whole, wherever it stands', async () => {
      const guarded = `repository:${GUARDED}/prod:pull,push`;
      for (const scopes of [
        [guarded, BOTH[1]!],
        [BOTH[1]!, guarded],
      ]) {
        assertError(await ask(town.users.developer, ...scopes), 403, 'DENIED');
      }
    });
  });
});

function isPusher({ tokenScopes }: Holder): boolean {
  return tokenScopes.includes('write_registry');
}

/** The credential with the most rights. */
function deployToken(holders: readonly Holder[]): Login {
  return holders.at(-1)!.login;
}
