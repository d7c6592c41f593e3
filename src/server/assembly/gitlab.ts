import type { AdminDeps } from '../../app.ts';
import { CellpassError, printProblems } from '../../errors.ts';
import type { DirectoryResource } from '../../http/admin/directory.ts';
import { readPage } from '../../store/directory/tokens.ts';
import type { GitlabSource } from '../../store/source/gitlab/source.ts';
import { listGitlabTokens, unknownOwners } from '../../store/source/gitlab/tokens.ts';
import type { OpenGitlab } from '../open-gitlab.ts';
import type { RecordViews } from './records.ts';

/** What admins can do where users and tokens are in a GitLab's database: look, and change nothing. */

const inGitlab = async (): Promise<never> => {
  throw new CellpassError(
    'conflict',
    'users, projects and tokens live in GitLab, whose database is the directory of this server: change them there',
  );
};

/** Refuses everything. */
export const DIRECTORY_IN_GITLAB: DirectoryResource = { apply: inGitlab, export: inGitlab };
/** Refuses everything. */
export const JOB_TOKENS_IN_GITLAB: AdminDeps['jobTokens'] = {
  putJobToken: inGitlab,
  deleteJobToken: inGitlab,
};

/** Refuses to undo: what a change from before GitLab was the directory altered is not in force. */
export const UNDO_IN_GITLAB: Omit<AdminDeps['history'], 'list'> = { undo: inGitlab, revokedBy: inGitlab };

/** Lists GitLab's tokens, and refuses the rest. */
export function tokensInGitlab(
  { main }: OpenGitlab,
  source: GitlabSource,
  lastUse: RecordViews['lastUse'],
): AdminDeps['tokens'] {
  return {
    mint: inGitlab,
    revoke: inGitlab,
    list: async (question) => {
      await lastUse.flush();
      const { shape } = await source.look();
      const unknown = await unknownOwners(main, question);
      const problems = unknown.map((path) => ({
        path,
        message: `GitLab has no ${path === 'owner' ? 'user' : path} "${question[path]}"`,
      }));
      if (problems.length > 0) throw new CellpassError('invalid', printProblems(problems), { problems });
      return readPage(question.limit, (limit) => listGitlabTokens(main, shape, { ...question, limit }));
    },
  };
}
