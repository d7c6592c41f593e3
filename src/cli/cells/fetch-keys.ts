import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { RouterKey } from '../../cells/router/router.ts';
import type { Cell } from '../../cells/topology.ts';
import { CellpassError } from '../../errors.ts';
import { reasonOf } from '../doctor/finding.ts';
import { type CellClient, createCellClient } from './cell-client.ts';
import { readPublishedKeys } from './published-keys.ts';
import { readIfThere, writeIfChanged } from './router-folder.ts';

/** The keys with which the router verifies the tokens of one cell. */
export interface CellKeys {
  readonly id: number;
  /**
   * `kept`: the cell did not answer, and these are the keys of its last answer; `none`: there is no
   * last answer.
   */
  readonly source: 'published' | 'kept' | 'none';
  readonly keys: readonly RouterKey[];
  readonly warnings: readonly string[];
}

/** The file with the last answer of each cell, in the folder of the configuration. */
const LAST_ANSWERS_NAME = 'published-keys.json';
/** JWK Sets by the id of the cell. */
const jwkSets = z.record(z.string(), z.unknown());
type JwkSets = z.output<typeof jwkSets>;

/**
 * Asks all cells for their keys at once, and stores the answers in `dir` for a later run in which a
 * cell does not answer.
 */
export async function fetchKeys(
  cells: readonly Cell[],
  dir: string,
  caFile: string | null,
): Promise<readonly CellKeys[]> {
  const answersFile = join(dir, LAST_ANSWERS_NAME);
  const lastAnswers = await readLastAnswers(answersFile);
  const client = createCellClient(caFile);
  try {
    const answers = await Promise.all(cells.map((cell) => fetchCell(client, cell, lastAnswers)));
    const sets = Object.fromEntries(answers.map(({ id, jwks }) => [id, jwks]));
    await mkdir(dir, { recursive: true });
    await writeIfChanged(answersFile, `${JSON.stringify(sets)}\n`);
    return answers;
  } finally {
    await client.close();
  }
}

async function readLastAnswers(file: string): Promise<JwkSets> {
  const text = await readIfThere(file);
  if (text === undefined) return {};
  try {
    const sets = jwkSets.parse(JSON.parse(text));
    for (const jwks of Object.values(sets)) readPublishedKeys(jwks);
    return sets;
  } catch (cause) {
    throw damaged(file, cause);
  }
}

function damaged(file: string, cause: unknown): CellpassError {
  const message = `${file} is damaged: remove it, and run this while all cells answer`;
  return new CellpassError('invalid', message, { cause });
}

async function fetchCell(
  client: CellClient,
  { id, url }: Cell,
  lastAnswers: JwkSets,
): Promise<CellKeys & { readonly jwks: unknown }> {
  try {
    const { status, text } = await client.get(`${url}/.well-known/jwks.json`);
    if (status !== 200) throw new Error(`it answers ${status}`);
    const jwks: unknown = JSON.parse(text);
    const { keys, passedOver } = readPublishedKeys(jwks);
    const warnings =
      passedOver === 0 ? [] : [`cell ${id}: ${passedOver} of its keys are not for RS256, and are left out`];
    return { id, source: 'published', keys, warnings, jwks };
  } catch (error) {
    return useLastAnswer(
      id,
      `cell ${id}: ${url}/.well-known/jwks.json can't be used (${reasonOf(error)})`,
      lastAnswers,
    );
  }
}

function useLastAnswer(
  id: number,
  failure: string,
  lastAnswers: JwkSets,
): CellKeys & { readonly jwks: unknown } {
  const jwks = lastAnswers[id];
  if (jwks === undefined) {
    return {
      id,
      source: 'none',
      keys: [],
      warnings: [
        `${failure}, and no earlier answer is stored: the router refuses the tokens of this cell; run this again when the cell answers`,
      ],
      jwks,
    };
  }
  const { keys } = readPublishedKeys(jwks);
  return {
    id,
    source: 'kept',
    keys,
    warnings: [
      `${failure}: the router keeps the keys that the cell last published, even those that it has revoked since`,
    ],
    jwks,
  };
}
