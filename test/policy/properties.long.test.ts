import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { AccessEntry, Decision, Ruling } from '../../src/policy/grant.ts';
import type { Project } from '../../src/policy/project.ts';
import type { Action } from '../../src/policy/role.ts';
import { parseScope, parseScopes, printScope, splitScopes } from '../../src/policy/scope.ts';
import type { DeployTokenSubject, UserSubject } from '../../src/policy/subject.ts';
import {
  deployToken,
  membership,
  scopeTexts,
  shuffled,
  shuffledFacts,
  situation,
  subject,
  tokenUser,
  withShuffledActions,
} from '../support/policy/arbitrary.ts';
import {
  aDeployToken,
  anonymous,
  aTokenUser,
  aUser,
  decide,
  type Situation,
} from '../support/policy/subjects.ts';

const RUNS = { numRuns: 10_000 };

/** Each granted action in words. */
function grantedBy({ access }: Decision): readonly string[] {
  return access.flatMap(({ type, name, actions }) => actions.map((action) => `${type}:${name}:${action}`));
}

function nameOf({ scope, action }: Ruling): string {
  return `${scope.type}:${scope.name}:${action}`;
}

function isSubsequence(part: readonly unknown[], whole: readonly unknown[]): boolean {
  let next = 0;
  for (const item of whole) if (next < part.length && item === part[next]) next++;
  return next === part.length;
}

/**
 * A subject with more rights may do at least as much. One exception: a push that the additional
 * rights would allow can meet a protection or a limit, which refuses the whole request.
 */
function assertMoreGivesMore(less: Decision, more: Decision): void {
  const before = new Map(less.rulings.map((ruling) => [nameOf(ruling), ruling.verdict]));
  for (const ruling of more.rulings) {
    if (before.get(nameOf(ruling)) === 'grant') assert.equal(ruling.verdict, 'grant', nameOf(ruling));
  }
  if (more.denial?.reason === 'forbidden_push' && less.denial === null) {
    const { ruling } = more.denial;
    assert.ok(ruling.rule === 'protected_repository' || ruling.rule === 'storage_limit', ruling.rule);
    assert.equal(before.get(nameOf(ruling)), 'refuse');
    return;
  }
  const granted = new Set(grantedBy(more));
  for (const action of grantedBy(less)) assert.ok(granted.has(action), action);
}

/** The same request where the first project has these memberships. */
function withMemberships(at: Situation, memberships: Project['memberships']): Decision {
  const [first, ...others] = at.projects;
  assert.ok(first);
  return decide({ ...at, projects: [{ ...first, memberships }, ...others] });
}

const anyToken = fc.oneof(tokenUser, deployToken);
const tokenScope = fc.constantFrom('api', 'read_api', 'read_registry', 'write_registry', 'read_user');

/** The same request with a token of these scopes. */
function withTokenScopes(
  at: Situation & { subject: UserSubject | DeployTokenSubject },
  scopes: readonly string[],
): Decision {
  const { subject: token } = at;
  return decide({
    ...at,
    subject: token.kind === 'user' ? aTokenUser(scopes, token.person) : aDeployToken(scopes),
  });
}

describe('properties: what is granted', () => {
  it('is part of what is asked, in the asked order, each once', () => {
    fc.assert(
      fc.property(situation(subject), (at) => {
        const { access } = decide(at);
        const keyOf = ({ type, name }: Pick<AccessEntry, 'type' | 'name'>) => `${type}:${name}`;
        assert.ok(isSubsequence(access.map(keyOf), at.scopes.map(keyOf)));
        for (const entry of access) {
          const asked = at.scopes.find((scope) => keyOf(scope) === keyOf(entry));
          assert.ok(asked && isSubsequence(entry.actions, asked.actions));
          assert.ok(entry.actions.length > 0);
          assert.equal(new Set(entry.actions).size, entry.actions.length);
        }
      }),
      RUNS,
    );
  });

  it('to an access token is within what its owner has by password, and within what its scopes can', () => {
    const can: Record<string, readonly Action[]> = {
      api: ['pull', 'push', 'delete', '*'],
      read_api: ['pull'],
      read_registry: ['pull'],
      write_registry: ['push'],
    };
    fc.assert(
      fc.property(situation(tokenUser), (at) => {
        const { tokenScopes, person } = at.subject;
        const scopes = tokenScopes?.length ? tokenScopes : ['api'];
        const abilities = new Set(scopes.flatMap((scope) => can[scope] ?? []));
        for (const { type, name, actions } of decide(at).access) {
          for (const action of actions) {
            assert.ok(abilities.has(action), action);
            const alone = [
              { type: type === 'registry' ? type : 'repository', name, actions: [action] } as const,
            ];
            const owner = decide({ ...at, subject: aUser(person), scopes: alone });
            assert.deepEqual(grantedBy(owner), [`${type}:${name}:${action}`]);
          }
        }
      }),
      RUNS,
    );
  });

  it('is nothing of a project whose registry is disabled, to anybody', () => {
    fc.assert(
      fc.property(situation(subject), (at) => {
        const projects = at.projects.map((project) => ({ ...project, registryAccess: 'disabled' as const }));
        const { access, rulings } = decide({ ...at, projects });
        assert.deepEqual(
          access.filter(({ type }) => type === 'repository'),
          [],
        );
        assert.ok(rulings.every(({ verdict }) => verdict !== 'forbid'));
      }),
      RUNS,
    );
  });

  it('to anonymous for pulling is granted to every credential that can pull', () => {
    fc.assert(
      fc.property(situation(subject), (at) => {
        if (!at.subject.abilities.has('pull')) return;
        const open = new Set(grantedBy(decide({ ...at, subject: anonymous() })));
        for (const ruling of decide(at).rulings.filter((candidate) => open.has(nameOf(candidate)))) {
          // the one exception: a job without a user has access only to its own project
          const isStray =
            at.subject.kind === 'job' &&
            at.subject.person === null &&
            at.subject.projectId !== ruling.project?.id;
          assert.equal(ruling.verdict, isStray ? 'refuse' : 'grant', nameOf(ruling));
        }
      }),
      RUNS,
    );
  });
});

describe('properties: more gives more, less gives less', () => {
  it('adding a membership takes nothing away', () => {
    fc.assert(
      fc.property(situation(subject), membership, fc.nat({ max: 3 }), (at, added, place) => {
        const memberships = at.projects[0]?.memberships ?? [];
        const more = [...memberships.slice(0, place), added, ...memberships.slice(place)];
        assertMoreGivesMore(decide(at), withMemberships(at, more));
      }),
      RUNS,
    );
  });

  it('removing a membership adds nothing', () => {
    fc.assert(
      fc.property(situation(subject), fc.nat({ max: 2 }), (at, place) => {
        const memberships = at.projects[0]?.memberships ?? [];
        const less = memberships.filter((_, index) => index !== place % memberships.length);
        assertMoreGivesMore(withMemberships(at, less), decide(at));
      }),
      RUNS,
    );
  });

  it('adding a scope to a token takes nothing away', () => {
    fc.assert(
      fc.property(situation(anyToken), tokenScope, (at, added) => {
        const scopes = at.subject.tokenScopes ?? [];
        // an access token without scopes is read as api: its first scope is a limit, not an addition
        if (at.subject.kind === 'user' && scopes.length === 0) return;
        assertMoreGivesMore(decide(at), withTokenScopes(at, [...scopes, added]));
      }),
      RUNS,
    );
  });

  it('removing a scope from a token adds nothing', () => {
    fc.assert(
      fc.property(situation(anyToken), fc.nat({ max: 4 }), (at, place) => {
        const scopes = at.subject.tokenScopes ?? [];
        if (at.subject.kind === 'user' && scopes.length < 2) return;
        const less = scopes.filter((_, index) => index !== place % scopes.length);
        assertMoreGivesMore(withTokenScopes(at, less), decide(at));
      }),
      RUNS,
    );
  });
});

describe('properties: order', () => {
  /** All that a decision says, with its lists sorted. */
  function sorted({ access, denial, rulings, validUntil }: Decision): unknown {
    const entries = access.map(({ type, name, actions, meta }) => {
      const deny = meta?.tag_deny_access_patterns;
      const tags = [
        deny?.push?.toSorted(),
        deny?.delete?.toSorted(),
        meta?.tag_immutable_patterns?.toSorted(),
      ];
      return JSON.stringify([type, name, actions.toSorted(), meta?.project_id, deny === undefined, tags]);
    });
    const verdicts = rulings.map((ruling) => `${nameOf(ruling)} ${ruling.verdict} ${ruling.rule}`);
    return [entries.sort(), denial?.reason, verdicts.sort(), validUntil?.toISOString()];
  }

  it('of scopes, actions, projects, memberships and rules changes nothing', () => {
    const inAnyOrder = situation(subject).chain((at) =>
      fc.record({
        at: fc.constant(at),
        scopes: shuffled(at.scopes).chain((scopes) => fc.tuple(...scopes.map(withShuffledActions))),
        projects: shuffled(at.projects).chain((projects) => fc.tuple(...projects.map(shuffledFacts))),
      }),
    );
    fc.assert(
      fc.property(inAnyOrder, ({ at, ...shuffles }) => {
        assert.deepEqual(sorted(decide({ ...at, ...shuffles })), sorted(decide(at)));
      }),
      RUNS,
    );
  });
});

describe('properties: scopes', () => {
  it('are the same repeated, joined by white space, and said twice', () => {
    const space = fc.constantFrom(' ', '  ', '\t', '\n');
    const parameters = scopeTexts.chain((texts) =>
      fc.record({
        texts: fc.constant(texts),
        space,
        cut: fc.nat({ max: 4 }),
        again: fc.subarray([...texts]),
      }),
    );
    fc.assert(
      fc.property(parameters, ({ texts, space: between, cut, again }) => {
        const expected = parseScopes(splitScopes(texts));
        const joined = [texts.slice(0, cut).join(between), texts.slice(cut).join(between)];
        assert.deepEqual(parseScopes(splitScopes([texts.join(between)])), expected);
        assert.deepEqual(parseScopes(splitScopes(joined)), expected);
        assert.deepEqual(parseScopes(splitScopes([...texts, ...again])).scopes, expected.scopes);
      }),
      RUNS,
    );
  });

  it('read whatever text there is, and read again what they print', () => {
    const like = fc.stringMatching(
      /^(repository|registry):[a-zA-Z0-9./_:-]{0,12}:(pull|push|delete|,|[*]){0,4}$/,
    );
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      like,
      scopeTexts.map(([first]) => first ?? ''),
    );
    fc.assert(
      fc.property(texts, (text) => {
        const scope = parseScope(text);
        if (!('why' in scope)) assert.deepEqual(parseScope(printScope(scope)), scope);
      }),
      RUNS,
    );
  });
});
