import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { policyDocument } from '../docs/generate-policy.ts';
import { GITLAB_VARIABLES } from '../src/config/gitlab.ts';
import { loadConfig } from '../src/config/load.ts';
import { railsSettings } from '../src/config/rails.ts';
import { settings, variable } from '../src/config/settings.ts';
import { anchors, codeBlocks, linkTargets, proseLines } from './support/markdown.ts';

const ROOT = new URL('../', import.meta.url);
const WIDTH = 100;

const at = (path: string): URL => new URL(path, ROOT);
const read = (path: string): string => readFileSync(at(path), 'utf8');

/** Where documents are; a folder is searched with its subfolders, the root by itself. */
const DOCUMENTS = [
  ...readdirSync(ROOT),
  ...['docs', 'keys', 'deploy', 'examples'].flatMap((folder) =>
    readdirSync(at(folder), { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`),
  ),
]
  .filter((name) => name.endsWith('.md'))
  .sort();

describe('every Markdown document', () => {
  it('is found here', () => {
    for (const path of [
      'README.md',
      'SECURITY.md',
      'docs/adr/0001-policy-as-lists-of-rules.md',
      'keys/README.md',
    ]) {
      assert.ok(DOCUMENTS.includes(path), path);
    }
  });

  for (const path of DOCUMENTS) {
    const text = read(path);

    it(`wraps at ${WIDTH} characters outside tables, code and links: ${path}`, () => {
      const long = proseLines(text).filter(({ line }) => !/^\s*\|/.test(line) && visibleLength(line) > WIDTH);
      assert.deepEqual(long, []);
    });

    it(`links to files and headings that exist: ${path}`, () => {
      const targets = linkTargets(text).filter((target) => !/^[a-z]+:/.test(target));
      assert.deepEqual(
        targets.filter((target) => !isThere(path, target)),
        [],
      );
    });
  }

  it('names files that exist', () => {
    const named = DOCUMENTS.flatMap((path) => [
      ...read(path).matchAll(/`((?:src|test|docs|deploy|examples|openapi|bench)\/[\w./-]*|[\w./-]+\.ts)`/g),
    ]).map(([, path = '']) => path);
    assert.ok(named.length > 40);
    const missing = named.filter((path) => !existsSync(at(path)) && !existsSync(at(`src/${path}`)));
    assert.deepEqual(missing, []);
  });

  function isThere(from: string, target: string): boolean {
    const [file = '', anchor] = target.split('#');
    const url = file === '' ? at(from) : new URL(file, at(from));
    if (!existsSync(url)) return false;
    return anchor === undefined || anchors(readFileSync(url, 'utf8')).has(anchor);
  }

  /** A link's target can't be broken, so it doesn't count. */
  function visibleLength(line: string): number {
    return line.replace(/\]\([^)]*\)/g, ']()').length;
  }
});

describe('docs/configuration.md', () => {
  const text = read('docs/configuration.md');
  const defaults = settings.parse({});
  /** Each with its members and their defaults; undefined: a member without one. */
  const sections: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
    services: {
      token_ttl_seconds: undefined,
      push_ttl_seconds: undefined,
      ...defaults.services['container_registry'],
    },
    keys: defaults.keys,
    registries: { name: undefined, url: undefined, service: undefined, insecure: false, trusts: undefined },
    limits: { failed_attempts_per_address: undefined, ...defaults.limits },
    retention: defaults.retention,
    gitlab: {
      ...Object.fromEntries(
        [...GITLAB_VARIABLES, ...Object.keys(railsSettings)].map((name) => [name, undefined]),
      ),
      ...defaults.gitlab,
    },
    federation: {
      audience: undefined,
      max_lifetime_seconds: 86_400,
      exchange_ttl_seconds: 900,
      issuers: undefined,
      identities: undefined,
    },
  };

  it('names every setting by its variable and in the file, and no other', () => {
    const rows = tableUnder('## Settings').filter(([, inFile = '']) => inFile !== '');
    const inFile = rows.flatMap(([, cell = '']) => codeIn(cell));
    assert.deepEqual([...inFile].sort(), Object.keys(settings.shape).sort());
    for (const [variables = '', names = ''] of rows) {
      const hasNoVariable = names !== '`services`' && codeIn(names).some((name) => name in sections);
      assert.deepEqual(codeIn(variables), hasNoVariable ? [] : codeIn(names).map((name) => variable(name)));
    }
  });

  for (const [section, members] of Object.entries(sections)) {
    it(`names what may be set under ${section}, with the default`, () => {
      const shown = new Map(
        tableUnder(`## ${section}`).map(([name = '', value = '']) => [codeIn(name)[0], value]),
      );
      assert.deepEqual([...shown.keys()].sort(), Object.keys(members).sort());
      for (const [name, value] of Object.entries(members)) {
        if (value !== undefined) assert.equal(shown.get(name)?.replaceAll('`', ''), String(value), name);
      }
    });
  }

  it('has an example that the server accepts', () => {
    const [example = ''] = codeBlocks(text, { heading: '## An example', language: 'yaml' });
    const parsed = settings.safeParse(parse(example));
    assert.ok(parsed.success, parsed.error?.message);
  });

  /**
   * The cells of the rows of the first table under a heading, without the two lines of its head.
   */
  function tableUnder(heading: string): readonly (readonly string[])[] {
    const begin = text.indexOf(`\n${heading}\n`);
    assert.notEqual(begin, -1, heading);
    const table = /(?:^\|.*\n)+/m.exec(text.slice(begin))?.[0] ?? '';
    const rows = table.trimEnd().split('\n').slice(2);
    return rows.map((row) =>
      row
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  }

  function codeIn(cell: string): readonly string[] {
    return [...cell.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code);
  }
});

describe('examples/registry.yml', () => {
  const config = loadConfig({});
  const registry = parse(read('examples/registry.yml'));

  it('names the realm, service and issuer of a server with default settings', () => {
    const { realm, service, issuer } = registry.auth.token;
    assert.deepEqual(
      { realm, service, issuer },
      {
        realm: `http://${config.listen.host}:${config.listen.port}/jwt/auth`,
        service: config.services[0]?.name,
        issuer: config.issuer,
      },
    );
  });

  it('reads the CA certificate that the README writes, and allows deletions', () => {
    assert.ok(read('README.md').includes(`keys export-ca > ${registry.auth.token.rootcertbundle}\n`));
    assert.equal(registry.storage.delete.enabled, true);
  });
});

describe('docs/policy.md', () => {
  it('has the tables of the code that decides (npm run docs)', () => {
    const current = read('docs/policy.md');
    assert.equal(policyDocument(current), current);
  });
});

describe('docs/security.md', () => {
  /** `| 7 | what must not happen | `test/a.test.ts`, `test/b.test.ts` |` */
  const row = /^\| (\d+) \| .+ \| (`[^|]+`) \|$/gm;
  const rows = [...read('docs/security.md').matchAll(row)].map(([, number = '', files = '']) => ({
    number: Number(number),
    files: [...files.matchAll(/`([^`]+)`/g)].map(([, file = '']) => file),
  }));

  it('has every check, once and in order', () => {
    assert.deepEqual(
      rows.map(({ number }) => number),
      Array.from({ length: 41 }, (_, index) => index + 1),
    );
  });

  for (const { number, files } of rows) {
    it(`says where check ${number} is`, () => {
      assert.ok(files.length > 0);
      for (const file of files) {
        assert.ok(existsSync(at(file)), file);
        assert.match(read(file), new RegExp(`security check ${number}\\b`));
      }
    });
  }
});
