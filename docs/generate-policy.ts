import { readFileSync, writeFileSync } from 'node:fs';
import { accessTokenAbilities, deployTokenAbilities } from '../src/policy/ability.ts';
import { DIFFERENCES } from '../src/policy/dialect.ts';
import { ACTIONS, CHANGES, PULLS_INTERNAL_AS_EXTERNAL, PULLS_PRIVATE, ROLES } from '../src/policy/role.ts';
import { RULES } from '../src/policy/rules.ts';

/** Writes the tables of `docs/policy.md` from the code that decides: `npm run docs`. */

const FILE = new URL('./policy.md', import.meta.url);
const BEGIN = '<!-- generated: npm run docs -->';
const END = '<!-- end of generated -->';
const TOKEN_SCOPES = ['api', 'read_api', 'read_registry', 'write_registry', 'read_repository'];

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n');
}

const yes = (value: boolean): string => (value ? 'yes' : '');

function generate(): string {
  const roles = ROLES.map((role) => [
    role,
    yes(PULLS_PRIVATE[role]),
    yes(PULLS_INTERNAL_AS_EXTERNAL[role]),
    yes(CHANGES[role].push),
    yes(CHANGES[role].delete),
    yes(CHANGES[role]['*']),
  ]);
  const scopes = TOKEN_SCOPES.map((scope) => {
    const [access, deploy] = [accessTokenAbilities([scope]), deployTokenAbilities([scope])];
    const list = (abilities: ReadonlySet<string>): string =>
      ACTIONS.filter((action) => abilities.has(action)).join(', ');
    return [`\`${scope}\``, list(access).replaceAll('*', '\\*'), list(deploy)];
  });
  const rules = Object.entries(RULES).map(([kind, list]) => [
    kind,
    list.map(({ id }) => `\`${id}\``).join(' → '),
  ]);
  return [
    '### What a role may do',
    table(['role', 'pull, private', 'pull, internal, as an external user', 'push', 'delete', '\\*'], roles),
    '### What a token scope is worth',
    table(['scope', 'in an access token', 'in a deploy token'], scopes),
    '### The rules, in the order in which they are asked',
    table(['who asks', 'rules; the first with a verdict decides'], rules),
    '### Where cellpass and GitLab differ',
    table(
      ['what', "on cellpass's own tables", "on a GitLab's database"],
      DIFFERENCES.map(({ what, cellpass, gitlab }) => [what, cellpass, gitlab]),
    ),
  ].join('\n\n');
}

/** The document with its generated part made anew. */
export function policyDocument(current: string): string {
  const begin = current.indexOf(BEGIN) + BEGIN.length;
  const end = current.indexOf(END);
  return `${current.slice(0, begin)}\n\n${generate()}\n\n${current.slice(end)}`;
}

if (process.argv[1] === FILE.pathname.replace('policy.md', 'generate-policy.ts')) {
  writeFileSync(FILE, policyDocument(readFileSync(FILE, 'utf8')));
}
