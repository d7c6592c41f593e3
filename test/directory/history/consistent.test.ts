import assert from 'node:assert/strict';
import fc from 'fast-check';
import { undoChange } from '../../../src/directory/history/undo.ts';
import { CellpassError } from '../../../src/errors.ts';
import { ARBITRARY_BASE, arbitraryDocument } from '../../support/directory/arbitrary-document.ts';
import { describeOnBoth, type TestDirectory } from '../../support/directory/document.ts';
import { emptyDirectory } from '../../support/directory/empty.ts';

const RUNS = 12;
const AUTHOR = { at: new Date('2026-11-25T12:00:00Z'), who: 'another test' };

/** Each query finds rows that no sequence of documents may lead to. */
const CONTRADICTIONS: Readonly<Record<string, string>> = {
  'a project whose path is not below its namespace': `
    SELECT project.path FROM projects AS project JOIN namespaces AS above ON above.id = project.namespace_id
    WHERE project.path !~ ('^' || above.path || '/[^/]+$')`,
  'a group whose path, ids or organization are not those of its parent': `
    SELECT child.path FROM namespaces AS child JOIN namespaces AS above ON above.id = child.parent_id
    WHERE child.path !~ ('^' || above.path || '/[^/]+$') OR child.traversal_ids <> above.traversal_ids || child.id
      OR child.organization_id <> above.organization_id`,
  'a top-level group with a path below another': `
    SELECT path FROM namespaces WHERE parent_id IS NULL AND (path LIKE '%/%' OR traversal_ids <> ARRAY[id])`,
  'a personal namespace that is not as its user': `
    SELECT place.path FROM namespaces AS place JOIN users AS owner ON owner.id = place.owner_id
    WHERE place.path <> owner.username OR place.organization_id <> owner.organization_id`,
  'a user without a personal namespace': `
    SELECT username FROM users WHERE kind IN ('human', 'service_account')
      AND NOT EXISTS (SELECT FROM namespaces WHERE owner_id = users.id)`,
  'a project with the path of a group': `
    SELECT path FROM projects WHERE path_key IN (SELECT path_key FROM namespaces)`,
  'a secret of two tokens': `
    SELECT digest FROM (SELECT token_digest AS digest FROM access_tokens UNION ALL SELECT token_digest FROM deploy_tokens
      UNION ALL SELECT token_digest FROM job_tokens) AS digests GROUP BY digest HAVING count(*) > 1`,
  'a revoked secret that is valid': `
    SELECT id FROM access_tokens WHERE NOT revoked AND token_digest IN (SELECT token_digest FROM revoked_secrets)
    UNION ALL SELECT id FROM deploy_tokens WHERE NOT revoked AND token_digest IN (SELECT token_digest FROM revoked_secrets)`,
  'a member of a place that is gone': `
    SELECT user_id FROM members WHERE source_id NOT IN (SELECT id FROM namespaces UNION ALL SELECT id FROM projects)`,
  'a bot without a token or identity': `
    SELECT username FROM users WHERE kind IN ('project_bot', 'group_bot')
      AND NOT EXISTS (SELECT FROM access_tokens WHERE user_id = users.id AND identity_id IS NULL)
      AND NOT EXISTS (SELECT FROM federated_identities WHERE user_id = users.id)`,
  'a bot without a role': `
    SELECT user_id FROM access_tokens WHERE kind <> 'personal' AND NOT EXISTS (SELECT FROM members
      WHERE members.user_id = access_tokens.user_id AND source_id = coalesce(project_id, group_id))`,
};

async function assertConsistent(directory: TestDirectory): Promise<void> {
  for (const [what, query] of Object.entries(CONTRADICTIONS))
    assert.deepEqual(await directory.query(query), [], what);
  const { changed } = await directory.apply(await directory.export(), { prune: true });
  assert.equal(changed, false, 'an export that changes something');
}

/** What an undo does; its dry run must say the same and change nothing. Undefined: it is refused. */
async function undo({ database }: TestDirectory, id: number): Promise<number | undefined> {
  const { refused } = await undoChange(database, id, AUTHOR, { dryRun: true });
  const done = await undoChange(database, id, AUTHOR, { dryRun: false }).catch((error: unknown) => {
    if (!(error instanceof CellpassError) || error.code !== 'conflict') throw error;
    assert.equal(error.message, refused);
  });
  if (done !== undefined) assert.equal(refused, null);
  return done?.change_id ?? undefined;
}

describeOnBoth('a directory', (directory) => {
  it('is consistent after the undo of an earlier change, or the undo is refused', async () => {
    let undone = 0;
    const documents = fc.array(fc.tuple(arbitraryDocument, fc.boolean()), { minLength: 4, maxLength: 8 });
    const undos = fc.array(fc.nat(20), { minLength: 2, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(documents, undos, async (list, places) => {
        await emptyDirectory(directory.database);
        await directory.apply(ARBITRARY_BASE);
        const ids: number[] = [];
        for (const [document, prune] of list) {
          const applied = await directory.apply(document, { prune }).catch(ignoreInvalid);
          if (applied?.change_id != null) ids.push(applied.change_id);
        }
        for (const place of ids.length === 0 ? [] : places) {
          const id = await undo(directory, ids[place % ids.length] ?? 0);
          if (id === undefined) continue;
          ids.push(id);
          undone += 1;
          await assertConsistent(directory);
        }
      }),
      { numRuns: RUNS },
    );
    // Otherwise the property would only see refusals.
    assert.ok(undone > RUNS / 10, `only ${undone} changes were undone`);
  });
});

function ignoreInvalid(error: unknown): undefined {
  if (error instanceof CellpassError && error.code === 'invalid') return undefined;
  throw error;
}
