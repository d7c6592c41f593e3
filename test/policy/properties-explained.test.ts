import assert from 'node:assert/strict';
import fc from 'fast-check';
import { explainOutcome } from '../../src/http/admin/explanation.ts';
import { decide as decideRequest } from '../../src/http/token/decide.ts';
import type { Project } from '../../src/policy/project.ts';
import { ACTIONS } from '../../src/policy/role.ts';
import type { RuleId } from '../../src/policy/rules.ts';
import { projectPaths } from '../../src/policy/scope.ts';
import type { Subject } from '../../src/policy/subject.ts';
import { traceRuling } from '../../src/policy/trace.ts';
import { situation, subject } from '../support/policy/arbitrary.ts';
import { aJob, aPerson, aUser, decide, member, type Situation } from '../support/policy/subjects.ts';

const RUNS = { numRuns: 10_000 };

/**
 * What an explanation asks for, done: the same situation where this rule no longer stands in the
 * way.
 */
const CURES: Partial<Record<RuleId, (at: Situation) => Partial<Situation>>> = {
  registry_scope: ({ scopes }) => ({
    subject: aUser({ admin: true }),
    scopes: scopes.map((scope) => ({ ...scope, actions: ['*'] })),
  }),
  registry_disabled: (at) => withFacts(at, { registryAccess: 'enabled' }),
  credential_ability: ({ subject: asking }) => ({ subject: { ...asking, abilities: new Set(ACTIONS) } }),
  ip_allowlist: (at) => withFacts(at, { ipAllowlists: [] }),
  maintenance: (at) => ({
    ...withFacts(at, { maintainedOrganization: null }),
    circumstances: { ...at.circumstances, instance: { registryEnabled: true, maintenanceMode: false } },
  }),
  project_state: (at) => withFacts(at, { archivedBy: null, deletionScheduled: false }),
  role: (at) => withFacts(at, OWNED),
  deploy_token_reach: (at) => withFacts(at, { ownDeployToken: true }),
  not_public: (at) => ({ subject: aUser(), ...withFacts(at, OWNED) }),
  job_push: (at) => ({ ...withFacts(at, { ...OWNED, archivedBy: null }), subject: ownJob(at) }),
  job_elsewhere: (at) => ({ ...withFacts(at, { ...OWNED, archivedBy: null }), subject: ownJob(at) }),
  protected_repository: (at) => withFacts(at, { protectedRepositories: [] }),
  storage_limit: (at) => withFacts(at, { overStorageLimit: null }),
};

const OWNED: Partial<Project> = { memberships: [member('owner')] };

function withFacts({ projects }: Situation, facts: Partial<Project>): Partial<Situation> {
  return { projects: projects.map((project) => ({ ...project, ...facts })) };
}

/** A job of the project, with a user. */
function ownJob({ subject: asking, scopes, projects }: Situation): Subject {
  const paths = scopes.flatMap(({ name }) => projectPaths(name));
  const owner = paths.map((path) => projects.find((project) => project.path === path)).find(Boolean);
  return { ...aJob(aPerson(), owner?.id), abilities: asking.abilities };
}

describe('properties: what is explained', () => {
  it('is what was decided: an action has needs exactly where it is not granted', () => {
    fc.assert(
      fc.property(situation(subject), fc.boolean(), ({ circumstances: at, ...asking }, registryEnabled) => {
        const { now, clientAddress } = at;
        const asked = { scopes: asking.scopes, dropped: [] };
        const facts = { instance: { ...at.instance, registryEnabled }, projects: asking.projects };
        const outcome = decideRequest({ subject: asking.subject, asked, facts, now, clientAddress });
        const explained = explainOutcome({ now, client: '192.0.2.1' }, asking.subject, asked, outcome);

        const { rulings, access } = outcome.decision;
        const actions = explained.scopes.flatMap((scope) => scope.actions);
        assert.deepEqual(
          actions.map(({ action, verdict, rule }) => [action, verdict, rule]),
          rulings.map(({ action, verdict, rule }) => [action, verdict, rule]),
        );
        for (const { verdict, rule, rules, needs } of actions) {
          assert.equal(needs.length === 0, verdict === 'grant');
          assert.deepEqual(rules.at(-1), { rule, verdict });
          if (verdict !== 'grant') assert.equal(needs[0]?.rule, rule);
        }
        assert.deepEqual(explained.access, outcome.refusal === null ? access : []);
        assert.equal(explained.refusal === null, outcome.refusal === null);
      }),
      RUNS,
    );
  });

  it('is all there is: with every obstacle out of the way the action is granted', () => {
    fc.assert(
      fc.property(situation(subject), (at) => {
        for (const ruling of decide(at).rulings) {
          // other rules apply to a new project or another credential, so they are not compared
          if (ruling.rule === 'project_unknown') continue;
          if (at.subject.kind === 'anonymous' && ruling.action !== 'pull') continue;
          let cured: Situation = { ...at, scopes: [{ ...ruling.scope, actions: [ruling.action] }] };
          for (const { rule } of traceRuling(ruling).obstacles) {
            const cure = CURES[rule];
            assert.ok(cure, `${rule} only ever grants`);
            cured = { ...cured, ...cure(cured) };
          }
          assert.deepEqual(
            decide(cured).rulings.map(({ verdict }) => verdict),
            ['grant'],
          );
        }
      }),
      RUNS,
    );
  });
});
