import { CellpassError } from '../../errors.ts';
import { deriveKeys } from '../../store/source/gitlab/keys.ts';
import { createGitlabSource, type GitlabSource } from '../../store/source/gitlab/source.ts';
import { createOwnSource } from '../../store/source/own/source.ts';
import { type RememberingSource, remembering } from '../../store/source/remembered.ts';
import type { ServerInputs } from './inputs.ts';

/** Where users, projects and credentials come from. */
export interface OpenSource {
  readonly source: RememberingSource;
  /** Null: they are in cellpass's own tables. */
  readonly gitlab: GitlabSource | null;
}

/**
 * @throws {CellpassError} `unavailable` when GitLab's database lacks something, or `conflict` when
 *   `db_key_base` is not its own.
 */
export async function openSource(inputs: ServerInputs): Promise<OpenSource> {
  const { config, database, gitlab: databases, log, now } = inputs;
  if (databases === undefined) {
    const maxBytes = config.limits.directoryCacheBytes;
    return { source: remembering(createOwnSource(database), { maxBytes }), gitlab: null };
  }
  const { settings, main, ci } = databases;
  const gitlab = createGitlabSource({
    main,
    ci,
    keys: deriveKeys(settings.dbKeyBase.reveal()),
    isEnterprise: settings.edition === 'ee',
    now,
    monotonicMs: inputs.monotonicMs ?? (() => performance.now()),
    log,
  });
  const state = await gitlab.look();
  if (state.keys === 'wrong') {
    throw new CellpassError(
      'conflict',
      "CELLPASS_GITLAB_SECRETS_FILE: db_key_base is not this GitLab's: its secrets can't be read with it",
    );
  }
  if (state.ci === 'unknown') {
    log.warn(
      {},
      'the CI tables of this GitLab are in another database: until CELLPASS_GITLAB_CI_DATABASE_URL names it, job tokens are answered with 503',
    );
  }
  return { source: withoutMemory(gitlab), gitlab };
}

/** GitLab's database has no versions, so nothing may be kept between requests. */
function withoutMemory(source: GitlabSource): RememberingSource {
  return {
    ...source,
    keep: () => undefined,
    stats: () => ({ hits: 0, misses: 0, questions: 0, entries: 0, bytes: 0 }),
  };
}
