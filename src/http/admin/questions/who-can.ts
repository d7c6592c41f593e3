import type { Middleware } from 'koa';
import { CellpassError } from '../../../errors.ts';
import type { Project } from '../../../policy/project.ts';
import { parseScope, projectPaths } from '../../../policy/scope.ts';
import { ANONYMOUS } from '../../../policy/subject.ts';
import type { DirectoryQuestions } from '../../../store/source/questions.ts';
import type { Contract } from '../../contract.ts';
import type { AllowedSubject, WhoCan } from '../../types.ts';
import { USUAL_PAGE } from '../parameters.ts';
import { allowedSubjects, type WhoQuestion } from './allowed-subjects.ts';
import { takePage } from './pages.ts';

export interface QuestionResource {
  questions(): DirectoryQuestions;
  now(): Date;
}

/** Who may do an action on a repository, decided as token requests are. */
export function whoCan(contract: Contract, resource: QuestionResource): Middleware {
  const parameters = contract.parametersOf('whoCan');
  return async (ctx) => {
    const { questions, now } = resource;
    const { action, repository, after = '', limit = USUAL_PAGE } = parameters(ctx).query;
    const scope = parseScope(`repository:${repository}:${action}`);
    if ('why' in scope)
      throw new CellpassError(
        'invalid',
        `${repository} is no name of a repository, such as acme/platform/api`,
      );
    const directory = questions();
    const facts = await directory.facts(ANONYMOUS, projectPaths(scope.name));
    const project = nearest(facts.projects, scope.name);
    if (project === undefined) throw new CellpassError('not_found', `there is no repository ${scope.name}`);
    const question: WhoQuestion = { name: scope.name, action, project, facts, now: now() };
    const { rows, next } = await takePage<AllowedSubject>(allowedSubjects(directory, question, after), limit);
    const addresses = [...new Set(project.ipAllowlists.flatMap(({ ranges }) => ranges))];
    ctx.body = {
      repository: scope.name,
      action,
      subjects: [...rows],
      ...(addresses.length > 0 && { addresses }),
      ...(next !== undefined && { next }),
    } satisfies WhoCan;
  };
}

/** The project with the longest path, as the policy has it. */
function nearest(projects: readonly Project[], name: string): Project | undefined {
  return projectPaths(name)
    .map((path) => projects.find((project) => project.path === path))
    .find((project) => project !== undefined);
}
