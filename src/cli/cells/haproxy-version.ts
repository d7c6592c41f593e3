import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/**
 * The first releases with the fix for CVE-2025-11230, by branch. Before it, one number with a huge
 * exponent in the JSON of a token stops HAProxy.
 */
const FIXED: Readonly<Record<string, number>> = {
  '2.6': 23,
  '2.8': 16,
  '3.0': 12,
  '3.1': 9,
  '3.2': 6,
};
/** The router's configuration needs this branch; those after the last one of `FIXED` have the fix. */
const OLDEST: Branch = [2, 6];
const FIRST_BORN_FIXED: Branch = [3, 3];
/** Debian keeps the upstream version and raises the number after "deb12u". */
const DEBIAN_12 = /^2\.6\.12-1\+deb12u(\d+)/;
const DEBIAN_12_FIXED = 3;
const VERSION_MS = 10_000;

type Branch = readonly [major: number, minor: number];

/** Runs `haproxy -v`. Returns a warning; null if the version is new enough. Never throws. */
export async function warnOfVersion(program: string): Promise<string | null> {
  try {
    const { stdout } = await promisify(execFile)(program, ['-v'], { timeout: VERSION_MS });
    return judgeVersion(program, stdout);
  } catch {
    return unknownVersion(program);
  }
}

/** @param output of `haproxy -v`, such as `HAProxy version 2.8.16-1 2025/10/03 - https://…`. */
export function judgeVersion(program: string, output: string): string | null {
  const [, version, major, minor, patch] =
    /^HA-?Proxy version ((\d+)\.(\d+)(?:\.(\d+)|-dev)\S*)/m.exec(output) ?? [];
  if (version === undefined) return unknownVersion(program);
  const branch: Branch = [Number(major), Number(minor)];
  if (isBefore(branch, OLDEST)) return `${program} is version ${version}, but the router needs 2.6 or later`;
  if (!isBefore(branch, FIRST_BORN_FIXED) || isPatchedByDebian(version)) return null;
  const fixed = FIXED[`${major}.${minor}`];
  if (fixed !== undefined && patch !== undefined && Number(patch) >= fixed) return null;
  const upgrade =
    fixed === undefined
      ? 'upgrade to a branch that has it'
      : `upgrade to ${major}.${minor}.${fixed} or later`;
  return `${program} is version ${version}, which may lack the fix for CVE-2025-11230: a token that a cell has signed could stop the router; ${upgrade}, unless the changelog of your distribution's package names the fix`;
}

function unknownVersion(program: string): string {
  return `the version of ${program} can't be read from "${program} -v": see docs/registry-router.md for the least versions`;
}

function isBefore([major, minor]: Branch, [otherMajor, otherMinor]: Branch): boolean {
  return major < otherMajor || (major === otherMajor && minor < otherMinor);
}

function isPatchedByDebian(version: string): boolean {
  return Number(DEBIAN_12.exec(version)?.[1] ?? 0) >= DEBIAN_12_FIXED;
}
