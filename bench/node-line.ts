import { execFileSync } from 'node:child_process';

/** A line of Node to run the server on. */
export interface NodeLine {
  /** Such as `v24.21.0`. */
  readonly version: string;
  /** The path of the program. */
  readonly path: string;
}

const OWN: NodeLine = { version: process.version, path: process.execPath };

/**
 * The lines that a list such as `20,24` names; no list: the Node that runs the benchmark. npm
 * fetches the others.
 */
export function nodeLines(list: string | undefined): readonly NodeLine[] {
  if (list === undefined) return [OWN];
  return list.split(',').map((line) => (process.version.startsWith(`v${line}.`) ? OWN : fetchLine(line)));
}

function fetchLine(line: string): NodeLine {
  const script = 'node -p "JSON.stringify({version: process.version, path: process.execPath})"';
  const printed = execFileSync('npx', ['--yes', '--package', `node@${line}`, '--call', script], {
    encoding: 'utf8',
  });
  return JSON.parse(printed);
}
