import type { Middleware } from 'koa';
import { lowerCaseAscii } from '../../../ascii.ts';
import { CellpassError } from '../../../errors.ts';
import type { Subject } from '../../../policy/subject.ts';
import type { DirectoryQuestions } from '../../../store/source/questions.ts';
import type { Contract } from '../../contract.ts';
import type { WhatCan } from '../../types.ts';
import { credentialReason } from '../explanation.ts';
import { fromRecords, toSubjectQuestion } from '../named-subject.ts';
import { takePage } from './pages.ts';
import { reachableRepositories, type WhatQuestion } from './reachable-repositories.ts';
import type { QuestionResource } from './who-can.ts';

const USUAL_PAGE = 100;
type Repository = WhatCan['repositories'][number];

/** What a subject may reach, decided as token requests are. */
export function whatCan(contract: Contract, resource: QuestionResource): Middleware {
  const parameters = contract.parametersOf('whatCan');
  return async (ctx) => {
    const { questions, now } = resource;
    const { query } = parameters(ctx);
    const { subject: name, action, under, after = '', limit = USUAL_PAGE } = query;
    const directory = questions();
    const asked = { now: now(), action, onlyByRole: query.only_granted_by_role ?? false };
    const groupId = under === undefined ? null : await findGroup(directory, under);
    const subject = await findSubject(directory, name, asked.now);
    const nothing = typeof subject === 'string' ? subject : await whyNothing(directory, subject);
    if (typeof subject === 'string' || nothing !== null) {
      ctx.body = { subject: name, repositories: [], ...(nothing && { reason: nothing }) } satisfies WhatCan;
      return;
    }
    const question: WhatQuestion = { ...asked, subject, groupId };
    const steps = reachableRepositories(directory, question, after);
    const { rows, next } = await takePage<Repository>(steps, limit);
    ctx.body = {
      subject: name,
      repositories: [...rows],
      ...(next !== undefined && { next }),
    } satisfies WhatCan;
  };
}

/** @throws {CellpassError} `not_found` */
export async function findGroup(directory: DirectoryQuestions, path: string): Promise<number> {
  const id = await directory.findGroup(lowerCaseAscii(path));
  if (id === null) throw new CellpassError('not_found', `there is no group ${path}`);
  return id;
}

/**
 * A user stands for the best credential that the user may have; the others for themselves. A
 * string: why nothing is granted.
 * @throws {CellpassError} `not_found`
 */
async function findSubject(
  directory: DirectoryQuestions,
  name: string,
  now: Date,
): Promise<Subject | string> {
  const question = toSubjectQuestion(name);
  const records = await directory.find(question);
  const tokenScopes = question.kind === 'user' ? ['api'] : undefined;
  const subject = fromRecords(question, records, { tokenScopes, now });
  if (subject === null) throw new CellpassError('not_found', `there is no ${name.replace(':', ' ')}`);
  return typeof subject === 'string' ? credentialReason(subject) : subject;
}

async function whyNothing(directory: DirectoryQuestions, subject: Subject): Promise<string | null> {
  if (subject.abilities.size === 0) return 'the token has no scope for the registry';
  const { instance } = await directory.facts(subject, []);
  return instance.registryEnabled ? null : 'the container registry is switched off';
}
