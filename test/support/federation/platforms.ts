import { randomUUID } from 'node:crypto';
import type { ClaimPins } from '../../../src/config/federated-claims.ts';

/** A platform that gives its jobs ID tokens, with the claims that its documentation shows. */
export interface Platform {
  readonly preset: string;
  /** All claims but `iss`, `aud` and the times, which the issuer sets. */
  readonly claims: Readonly<Record<string, unknown>>;
  /** What an identity pins. */
  readonly pins: ClaimPins;
  /** Tokens of others, which must not match. */
  readonly strangers: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

const SHA = '9f3182061f1e2cca4702c368cbc039b7dc9d4485';
const UUID = {
  organization: '5f0c3b1e-2f0c-4f0e-9d52-0a8f5a3c6a11',
  project: '0d8f6f2c-7a0b-4a52-8f5e-3a1b5c9d7e42',
  user: 'c3a9e1d4-11b2-4f7a-9a57-6c2d0e8b4f19',
};

export const PLATFORMS: readonly Platform[] = [
  {
    // https://docs.github.com/actions/concepts/security/openid-connect
    preset: 'github',
    claims: {
      jti: randomUUID(),
      sub: 'repo:acme/api:environment:release',
      environment: 'release',
      ref: 'refs/tags/v1.2.0',
      sha: SHA,
      repository: 'acme/api',
      repository_owner: 'acme',
      actor_id: '12',
      repository_visibility: 'private',
      repository_id: '456789',
      repository_owner_id: '123456',
      run_id: '4242',
      run_number: '10',
      run_attempt: '2',
      runner_environment: 'github-hosted',
      actor: 'alice',
      workflow: 'release',
      head_ref: '',
      base_ref: '',
      event_name: 'push',
      ref_type: 'tag',
      ref_protected: 'true',
      job_workflow_ref: 'acme/api/.github/workflows/release.yml@refs/tags/v1.2.0',
    },
    pins: {
      repository_id: '456789',
      repository_owner_id: '123456',
      ref: { prefix: 'refs/tags/v' },
      environment: 'release',
    },
    strangers: {
      'a repository that took the name over': { repository_id: '999999' },
      'another owner': { repository_owner_id: '1' },
      'a branch': { ref: 'refs/heads/v1' },
      'another environment': { environment: 'test' },
      'no environment': { environment: undefined },
    },
  },
  {
    // https://docs.gitlab.com/ci/secrets/id_token_authentication
    preset: 'gitlab',
    claims: {
      namespace_id: '72',
      namespace_path: 'acme',
      project_id: '20',
      project_path: 'acme/api',
      user_id: '1',
      user_login: 'alice',
      user_email: 'alice@example.com',
      user_access_level: 'developer',
      user_identities: [{ provider: 'github', extern_uid: '2435223452345' }],
      pipeline_id: '574',
      pipeline_source: 'push',
      job_id: '302',
      ref: 'main',
      ref_type: 'branch',
      ref_path: 'refs/heads/main',
      ref_protected: 'true',
      environment: 'production',
      environment_protected: 'true',
      deployment_tier: 'production',
      environment_action: 'start',
      runner_id: 1,
      runner_environment: 'self-hosted',
      sha: SHA,
      ci_config_ref_uri: 'gitlab.example.com/acme/api//.gitlab-ci.yml@refs/heads/main',
      ci_config_sha: SHA,
      project_visibility: 'private',
      jti: randomUUID(),
      sub: 'project_path:acme/api:ref_type:branch:ref:main',
    },
    pins: { project_id: '20', ref: 'main', ref_type: 'branch', ref_protected: 'true', runner_id: '1' },
    strangers: {
      'a fork, whose merge request runs here': { project_id: '4711' },
      'a branch that anybody may push to': { ref_protected: 'false' },
      'a tag of the same name': { ref_type: 'tag' },
      'another runner': { runner_id: 2 },
    },
  },
  {
    // https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin
    preset: 'kubernetes',
    claims: {
      jti: randomUUID(),
      'kubernetes.io': {
        namespace: 'api',
        node: { name: 'node-1', uid: UUID.user },
        pod: { name: 'api-5d4f', uid: UUID.organization },
        serviceaccount: { name: 'default', uid: UUID.project },
      },
      sub: 'system:serviceaccount:api:default',
    },
    pins: {
      sub: ['system:serviceaccount:api:default', 'system:serviceaccount:web:default'],
      'kubernetes.io.serviceaccount.uid': UUID.project,
    },
    strangers: {
      'another namespace': { sub: 'system:serviceaccount:other:default' },
      'an account that took the name over': {
        'kubernetes.io': { namespace: 'api', serviceaccount: { name: 'default', uid: UUID.user } },
      },
    },
  },
  {
    // https://buildkite.com/docs/pipelines/security/oidc; organization_id is asked for by --claim
    preset: 'buildkite',
    claims: {
      sub: `organization:acme:pipeline:api:ref:refs/heads/main:commit:${SHA}:step:push`,
      organization_slug: 'acme',
      pipeline_slug: 'api',
      build_number: 1,
      build_branch: 'main',
      build_tag: '',
      build_commit: SHA,
      step_key: 'push',
      job_id: UUID.user,
      agent_id: UUID.project,
      build_source: 'ui',
      runner_environment: 'self-hosted',
      organization_id: UUID.organization,
      pipeline_id: UUID.project,
      jti: randomUUID(),
    },
    pins: { organization_id: UUID.organization, pipeline_id: UUID.project, build_branch: 'main' },
    strangers: {
      'another organization': { organization_id: UUID.user },
      'another pipeline': { pipeline_id: UUID.user },
      'another branch': { build_branch: 'next' },
    },
  },
  {
    // https://circleci.com/docs/openid-connect-tokens
    preset: 'circleci',
    claims: {
      'oidc.circleci.com/context-ids': [UUID.user],
      'oidc.circleci.com/project-id': UUID.project,
      'oidc.circleci.com/vcs-origin': 'github.com/acme/api',
      'oidc.circleci.com/vcs-ref': 'refs/heads/main',
      'oidc.circleci.com/ssh-rerun': false,
      sub: `org/${UUID.organization}/project/${UUID.project}/user/${UUID.user}`,
      jti: undefined,
    },
    pins: {
      'oidc.circleci.com/project-id': UUID.project,
      'oidc.circleci.com/vcs-ref': 'refs/heads/main',
    },
    strangers: {
      'another project': { 'oidc.circleci.com/project-id': UUID.user },
      'another branch': { 'oidc.circleci.com/vcs-ref': 'refs/heads/next' },
    },
  },
];
