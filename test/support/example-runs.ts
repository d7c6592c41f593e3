import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runToEnd } from './processes/child.ts';
import { EXAMPLE, makeSite, ROOT, type Server, type Site } from './processes/site.ts';

/** What is between the fences of a `console` block. */
export const CONSOLE_BLOCK = /(?<=^```console\n)[\s\S]*?(?=^```$)/gm;

/** What differs from run to run, and what the document shows in its place, as wide. */
const MASKS: readonly (readonly [RegExp, string])[] = [
  // The ends of the example's tokens are in 2099.
  [/\b20[2-8]\d-\d\d-\d\d([T ])\d\d:\d\d:\d\d\.\d{3}/g, '2027-01-31$112:00:00.000'],
  [/\b20[2-8]\d-\d\d-\d\d([T ])\d\d:\d\d/g, '2027-01-31$112:00'],
  // The ids of keys, tokens and requests, bots and people.
  [/\b[0-9A-Z]{4}:[0-9A-Z]{4}\b/g, 'GBXZ:Q2RY'],
  [
    /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g,
    '5f0c3b1e-7d5a-4c1e-9b0f-2a6d8e4c1b3a',
  ],
  [/(?<=^20\d\d-.* {2})[0-9a-f]{8}(?= |$)/gm, '5f0c3b1e'],
  [/(?<=_bot_)[0-9a-f]{32}/g, 'cc25e347c4dcbdd5ca31612173640bea'],
  [/admin socket \(\w+\)/g, 'admin socket (root)'],
  [/\bglpat-(?!example)[\w.-]+/g, 'glpat-…'],
];

/**
 * Runs a Markdown document against a new server with the example company: writes its YAML blocks
 * that begin with `# NAME.yaml` to files of that name, runs each line of its `console` blocks that
 * begins with `$ `, in order, and returns the document with what they really print. Times, request
 * ids and new secrets are replaced by fixed ones. An exit code other than 0 is the last line.
 * @throws AssertionError when a `curl` line isn't one that asks for a token.
 */
export async function runExamples(document: string): Promise<string> {
  const site = await makeSite('postgresql');
  try {
    const server = await site.serve();
    const applied = await site.run(['directory', 'apply', '--yes', '-f', EXAMPLE]);
    assert.equal(applied.code, 0, applied.stderr);
    for (const [, content = '', name = ''] of document.matchAll(
      /^```yaml\n(# (\S+\.yaml)\n[\s\S]*?)^```$/gm,
    )) {
      await writeFile(join(site.dir, name), content);
    }
    let result = '';
    let end = 0;
    for (const block of document.matchAll(CONSOLE_BLOCK)) {
      result += document.slice(end, block.index);
      for (const command of commandsOf(block[0]))
        result += `$ ${command}\n${await run(command, { site, server })}`;
      end = block.index + block[0].length;
    }
    return result + document.slice(end);
  } finally {
    await site.remove();
  }
}

/** The commands in a `console` block. A line that ends with a backslash goes on in the next. */
export function commandsOf(block: string): readonly string[] {
  return [...block.matchAll(/^\$ ((?:.*\\\n)*.*)$/gm)].map(([, command = '']) => command);
}

async function run(command: string, { site, server }: { readonly site: Site; readonly server: Server }) {
  if (command.includes('curl ')) return askForToken(command, server);
  const shell = `PATH=${ROOT}/bin:$PATH; ${command}`;
  const { code, stdout, stderr } = await runToEnd('/bin/sh', ['-c', shell], { env: site.env, cwd: site.dir });
  const output = `${stdout}${stderr}${code === 0 ? '' : `(exit code ${code})\n`}`.replaceAll(
    `${site.dir}/`,
    '',
  );
  return MASKS.reduce((text, [pattern, mask]) => text.replace(pattern, mask), output);
}

const REQUEST =
  /^(?:for i in \$\(seq (?<times>\d+)\); do )?curl -so \/dev\/null (?:-u ['"](?<login>[^'"]+)['"] )?\\?\n? *'http:\/\/127\.0\.0\.1:5001(?<path>[^']+)'(?:; done)?$/;

/**
 * Stands in for `curl -so /dev/null [-u USER:SECRET] URL`, which not every machine has, once or in a
 * loop over `$i`.
 */
async function askForToken(command: string, server: Server): Promise<string> {
  const { times = '1', login, path } = REQUEST.exec(command)?.groups ?? {};
  assert.ok(path, `not understood: ${command}`);
  for (let i = 1; i <= Number(times); i++) {
    const basic = btoa(login?.replace('$i', String(i)) ?? '');
    const headers = login === undefined ? {} : { Authorization: `Basic ${basic}` };
    await (await fetch(`${server.url}${path}`, { headers })).arrayBuffer();
  }
  return '';
}
