import type { Registry as MetricsRegistry } from 'prom-client';
import { readDbKeyBase } from '../../config/gitlab-secrets.ts';
import { CellpassError } from '../../errors.ts';
import {
  type GitlabDatabase,
  type GitlabNumbers,
  gitlabMetrics,
  type ObserveQuestion,
} from '../../http/metrics/gitlab.ts';
import type { Database, Sql } from '../../store/database/drivers.ts';
import { withConfiguredIdentities } from '../../store/source/configured-identities.ts';
import { readReplication } from '../../store/source/gitlab/inspection.ts';
import { deriveKeys } from '../../store/source/gitlab/keys.ts';
import { createGitlabSource, type GitlabSource } from '../../store/source/gitlab/source.ts';
import { createOwnSource } from '../../store/source/own/source.ts';
import { type RememberingSource, remembering } from '../../store/source/remembered.ts';
import type { OpenGitlab } from '../open-gitlab.ts';
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
export async function openSource(inputs: ServerInputs, registry: MetricsRegistry): Promise<OpenSource> {
  const { config, database, gitlab: databases, log, now } = inputs;
  const observe = gitlabMetrics(registry, databases === undefined ? {} : numbersOf(databases));
  if (databases === undefined) {
    const maxBytes = config.limits.directoryCacheBytes;
    return { source: remembering(createOwnSource(database), { maxBytes }), gitlab: null };
  }
  const { settings } = databases;
  const main = measured(databases.main, 'main', observe);
  const write = databases.write && measured(databases.write, 'write', observe);
  const ci = databases.ci && measured(databases.ci, 'ci', observe);
  const gitlab = createGitlabSource({
    main,
    ci,
    write,
    keys: deriveKeys(readDbKeyBase(settings.secretsFile)),
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
  await gitlab
    .pingCi()
    .catch((error: unknown) => log.warn({ err: error }, 'job tokens are answered with 503'));
  const identities = config.federation?.identities ?? [];
  return { source: withConfiguredIdentities(withoutMemory(gitlab), database, identities), gitlab };
}

function numbersOf({ main, ci, write }: OpenGitlab): Parameters<typeof gitlabMetrics>[1] {
  const numbers = (one: Database): GitlabNumbers => ({
    pool: () => one.poolStats(),
    lanes: () => one.pipelineStats(),
    lagSeconds: () =>
      readReplication(one).then(
        ({ lagSeconds }) => lagSeconds,
        () => null,
      ),
  });
  return { main: numbers(main), ...(ci && { ci: numbers(ci) }), ...(write && { write: numbers(write) }) };
}

const MS = 1000;

/** A statement that GitLab's tables do not fit is an answer, too. */
function measured(sql: Sql, database: GitlabDatabase, observe: ObserveQuestion): Sql {
  return {
    execute: (text) => sql.execute(text),
    query: async (statement, params) => {
      const startedAt = performance.now();
      let isAnswered = true;
      try {
        return await sql.query(statement, params);
      } catch (error) {
        isAnswered = !(error instanceof CellpassError);
        throw error;
      } finally {
        observe(database, (performance.now() - startedAt) / MS, isAnswered);
      }
    },
  };
}

/** GitLab's database has no versions, so nothing may be kept between requests. */
function withoutMemory(source: GitlabSource): RememberingSource {
  return {
    ...source,
    keep: () => undefined,
    stats: () => ({ hits: 0, misses: 0, questions: 0, entries: 0, bytes: 0 }),
  };
}
