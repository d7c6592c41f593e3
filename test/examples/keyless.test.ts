import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { loadConfig, readIssuerRules } from '../../src/config/load.ts';
import { checkDirectory } from '../../src/directory/check.ts';
import { needs } from '../support/e2e/bench.ts';
import { debianTool } from '../support/e2e/tools.ts';
import { runToEnd } from '../support/processes/child.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
const FOLDER = join(ROOT, 'examples/keyless');
const PLUGIN = join(FOLDER, 'kubernetes/cellpass-credential-provider');
const read = (path: string): string => readFileSync(join(FOLDER, path), 'utf8');
const PIPELINES = readdirSync(FOLDER).filter((name) => name.endsWith('.yml'));

/** The settings and the document in the comment at the top of an example, or in a README. */
function snippets(text: string): Record<string, unknown> {
  const comment = text
    .split('\n')
    .filter((line) => line.startsWith('#   '))
    .map((line) => line.slice(4));
  return parse(comment.join('\n'));
}

describe('examples/keyless', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cellpass-keyless-'));
  const file = join(folder, 'cellpass.yaml');
  after(() => rmSync(folder, { recursive: true }));

  const assertUsable = (
    name: string,
    { federation, federated_identities }: Record<string, unknown>,
  ): void => {
    assert.ok(federation !== undefined && federated_identities !== undefined, name);
    writeFileSync(file, JSON.stringify({ federation }));
    assert.ok(loadConfig({ CELLPASS_CONFIG: file }).federation!.issuers.length > 0);
    const document = JSON.stringify({ version: 1, federated_identities });
    const rules = readIssuerRules({ CELLPASS_CONFIG: file });
    assert.deepEqual(checkDirectory(document, rules), { problems: [], warnings: [] }, name);
  };

  it('has a pipeline for each platform that has a preset', () => {
    assert.deepEqual(PIPELINES.toSorted(), [
      'buildkite.yml',
      'circleci.yml',
      'github-actions.yml',
      'gitlab-ci.yml',
    ]);
  });

  for (const name of PIPELINES) {
    it(`${name} is YAML, and says what to set in cellpass`, () => {
      const text = read(name);
      assert.equal(typeof parse(text), 'object');
      assertUsable(name, snippets(text));
    });
  }

  it('kubernetes/README.md says what to set in cellpass', () => {
    const text = read('kubernetes/README.md').replaceAll(/^ {3}/gm, '');
    const blocks = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, block = '']) => parse(block));
    assertUsable('kubernetes', Object.assign({}, ...blocks));
  });

  it('kubernetes/*.yaml are objects of Kubernetes with one audience', () => {
    const config = parse(read('kubernetes/credential-provider-config.yaml'));
    const [provider] = config.providers;
    assert.equal(provider.name, 'cellpass-credential-provider');
    const {
      serviceAccountTokenAudience: audience,
      cacheType,
      requireServiceAccount,
    } = provider.tokenAttributes;
    assert.deepEqual([cacheType, requireServiceAccount], ['Token', true]);
    const [role, binding] = parseAllDocuments(read('kubernetes/rbac.yaml')).map((one) => one.toJS());
    assert.deepEqual(role.rules[0].resources, [audience]);
    assert.deepEqual(role.rules[0].verbs, ['request-serviceaccounts-token-audience']);
    assert.equal(binding.roleRef.name, role.metadata.name);
    assert.ok(read('kubernetes/README.md').includes(`audience: ${audience}\n`));
  });

  it('docs/keyless.md shows settings and a document that are right', () => {
    const text = readFileSync(join(ROOT, 'docs/keyless.md'), 'utf8');
    const indented = [...text.matchAll(/^( *)```yaml\n([\s\S]*?)^ *```$/gm)];
    const blocks = indented.map(([, indent = '', block = '']) =>
      parse(block.replaceAll(new RegExp(`^${indent}`, 'gm'), '')),
    );
    const settings = blocks.filter((block) => 'federation' in block);
    const documents = blocks.filter((block) => 'federated_identities' in block);
    assert.ok(settings.length > 0 && documents.length > 0);
    for (const { federation } of settings) {
      const { ca_file: _, ...rest } = federation.issuers?.prod ?? {};
      const issuers = { ...federation.issuers, ...(federation.issuers?.prod && { prod: rest }) };
      writeFileSync(
        file,
        JSON.stringify({
          public_url: 'https://registry.example.com',
          federation: { ...federation, issuers, identities: undefined },
        }),
      );
      assert.ok(loadConfig({ CELLPASS_CONFIG: file }).federation !== null);
    }
    for (const { federated_identities } of documents) {
      const { problems } = checkDirectory(JSON.stringify({ version: 1, federated_identities }));
      assert.deepEqual(problems, []);
    }
  });
});

describe('the image credential provider for the kubelet', function () {
  this.timeout(60_000);
  needs(() => debianTool('jq'));
  const TOKEN = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln';
  const REQUEST = {
    apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
    kind: 'CredentialProviderRequest',
    image: 'registry.example.com/acme/api:1',
    serviceAccountToken: TOKEN,
    serviceAccountAnnotations: { 'example.com/registry': 'evil.example.com' },
  };
  /** As the kubelet runs it: by standard input, without settings in the environment. */
  const run = (input: string) => runToEnd(PLUGIN, [], { env: { PATH: process.env['PATH'] ?? '' }, input });
  const answer = async (change: object) => {
    const { code, stdout, stderr } = await run(JSON.stringify({ ...REQUEST, ...change }));
    assert.deepEqual([code, stderr], [0, '']);
    return JSON.parse(stdout);
  };

  it('gives the token to the registry of the image, and nothing else', async () => {
    assert.deepEqual(await answer({}), {
      kind: 'CredentialProviderResponse',
      apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
      cacheKeyType: 'Registry',
      auth: { 'registry.example.com': { username: 'oidc', password: TOKEN } },
    });
  });

  const images: [image: string, host: string][] = [
    ['registry.example.com:5000/acme/api', 'registry.example.com:5000'],
    ['localhost/api', 'localhost'],
    ['[::1]:5000/acme/api', '[::1]:5000'],
    ['registry.example.com/acme/api@sha256:0a1b', 'registry.example.com'],
  ];
  for (const [image, host] of images) {
    it(`reads the registry of ${image}`, async () => {
      assert.deepEqual(Object.keys((await answer({ image })).auth), [host]);
    });
  }

  it('keeps quotes, line feeds and other characters of a token as they are', async () => {
    for (const serviceAccountToken of ['a"b', 'a\nb', '$(id)', '`id`', 'a\\b', "a'b"]) {
      const { auth } = await answer({ serviceAccountToken });
      assert.equal(auth['registry.example.com'].password, serviceAccountToken);
    }
  });

  const wrong: [what: string, input: string][] = [
    ['no token', JSON.stringify({ ...REQUEST, serviceAccountToken: undefined })],
    ['an empty token', JSON.stringify({ ...REQUEST, serviceAccountToken: '' })],
    ['a token that is no text', JSON.stringify({ ...REQUEST, serviceAccountToken: { a: TOKEN } })],
    ['an image of no registry', JSON.stringify({ ...REQUEST, image: 'acme/api' })],
    ['no image', JSON.stringify({ ...REQUEST, image: undefined })],
    ['another kind', JSON.stringify({ ...REQUEST, kind: 'Secret' })],
    [
      'another version',
      JSON.stringify({ ...REQUEST, apiVersion: 'credentialprovider.kubelet.k8s.io/v1beta1' }),
    ],
    ['a list', JSON.stringify([REQUEST])],
    ['nothing', ''],
    ['half of a request', JSON.stringify(REQUEST).slice(0, -20)],
  ];
  for (const [what, input] of wrong) {
    it(`fails with ${what}, without an answer, and without the token in its message`, async () => {
      const { code, stdout, stderr } = await run(input);
      assert.equal(code, 1);
      assert.equal(stdout, '');
      assert.match(stderr, /cellpass-credential-provider: no credentials for this image\n$/);
      assert.ok(!stderr.includes(TOKEN.slice(0, 20)));
    });
  }

  it('gives the token to no other program as an argument', () => {
    assert.doesNotMatch(readFileSync(PLUGIN, 'utf8'), /--arg\b|--argjson\b|\$\(cat\)/);
  });
});

describe('the shell scripts of examples/keyless', function () {
  this.timeout(60_000);
  const shellcheck = needs(() => debianTool('shellcheck'));

  it('have no fault that shellcheck finds', async () => {
    const { code, stdout } = await runToEnd(shellcheck(), ['--severity=style', PLUGIN], { env: {} });
    assert.equal(code, 0, stdout);
  });

  it('in the pipelines have none, either', async () => {
    const github = parse(read('github-actions.yml'));
    const scripts: string[] = Object.values<{ steps: { run?: string }[] }>(github.jobs).flatMap(({ steps }) =>
      steps.flatMap(({ run }) => run ?? []),
    );
    scripts.push(...parse(read('gitlab-ci.yml')).push.script);
    scripts.push(parse(read('buildkite.yml')).steps[0].command.replaceAll('$$', '$'));
    for (const input of scripts) {
      const { code, stdout } = await runToEnd(shellcheck(), ['--shell=bash', '--exclude=SC2154', '-'], {
        env: {},
        input,
      });
      assert.equal(code, 0, `${input}\n${stdout}`);
    }
  });
});
