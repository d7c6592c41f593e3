import type { PasswordHashing } from '../../authn/password-schemes.ts';
import { CellpassError } from '../../errors.ts';

/** A message to the hashing process; its answer has the same id. */
export type HashingQuestion =
  | { readonly kind: 'hash'; readonly id: number; readonly password: string }
  | { readonly kind: 'verify'; readonly id: number; readonly password: string; readonly hash: string };

export type HashingAnswer =
  | { readonly kind: 'hashed'; readonly id: number; readonly hash: string }
  | { readonly kind: 'verified'; readonly id: number; readonly matches: boolean }
  /** `isAway`: the hashing process is gone, rather than the question wrong. */
  | { readonly kind: 'not_hashed'; readonly id: number; readonly isAway: boolean; readonly problem: string };

/** Hashes passwords in another process, called by messages. */
export interface HashingClient extends PasswordHashing {
  /** Takes a message from the channel, and ignores everything but an answer that is waited for. */
  receive(message: { readonly kind: string }): void;
  /** The other process is gone: every open and every later question fails with `unavailable`. */
  lose(): void;
}

export function createHashingClient(send: (question: HashingQuestion) => void): HashingClient {
  const waiting = new Map<number, (answer: HashingAnswer) => void>();
  let questions = 0;
  let isLost = false;
  const request = (question: (id: number) => HashingQuestion): Promise<HashingAnswer> =>
    new Promise((resolve) => {
      questions += 1;
      const id = questions;
      if (isLost) return resolve(away(id));
      waiting.set(id, resolve);
      send(question(id));
    });
  const settle = (answer: HashingAnswer): void => {
    waiting.get(answer.id)?.(answer);
    waiting.delete(answer.id);
  };
  return {
    hash: async (password) => {
      const answer = await request((id) => ({ kind: 'hash', id, password }));
      if (answer.kind === 'hashed') return answer.hash;
      throw failure(answer);
    },
    verify: async (hash, password) => {
      const answer = await request((id) => ({ kind: 'verify', id, hash, password }));
      if (answer.kind === 'verified') return answer.matches;
      throw failure(answer);
    },
    receive: (message) => {
      if (isAnswer(message)) settle(message);
    },
    lose: () => {
      isLost = true;
      for (const id of waiting.keys()) settle(away(id));
    },
  };
}

/** The answer of the hashing process. Never rejects: an error is an answer, too. */
export async function answerHashing(
  question: HashingQuestion,
  hashing: PasswordHashing,
): Promise<HashingAnswer> {
  const { id, password } = question;
  try {
    if (question.kind === 'hash') return { kind: 'hashed', id, hash: await hashing.hash(password) };
    return { kind: 'verified', id, matches: await hashing.verify(question.hash, password) };
  } catch (error) {
    const isAway = error instanceof CellpassError && error.code === 'unavailable';
    return { kind: 'not_hashed', id, isAway, problem: error instanceof Error ? error.message : 'unknown' };
  }
}

export function isHashingQuestion(message: { readonly kind: string }): message is HashingQuestion {
  return message.kind === 'hash' || message.kind === 'verify';
}

function isAnswer(message: { readonly kind: string }): message is HashingAnswer {
  return message.kind === 'hashed' || message.kind === 'verified' || message.kind === 'not_hashed';
}

function away(id: number): HashingAnswer {
  return { kind: 'not_hashed', id, isAway: true, problem: 'the process that hashes passwords has ended' };
}

function failure(answer: HashingAnswer): Error {
  if (answer.kind !== 'not_hashed') return new Error(`an answer to another question: ${answer.kind}`);
  return answer.isAway ? hasherAway(answer.problem) : new Error(answer.problem);
}

export function hasherAway(problem: string): CellpassError {
  return new CellpassError('unavailable', problem, { reason: 'password_hasher', retryAfterSeconds: 1 });
}
