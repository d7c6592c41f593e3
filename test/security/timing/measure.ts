import assert from 'node:assert/strict';
import { until } from '../../support/processes/child.ts';
import type { Group, TimedCase } from './cases.ts';
import type { Answer, Connection } from './connection.ts';
import { figuresOf, type GroupFigures } from './figures.ts';
import type { LogLine, TimedServer } from './server.ts';

/**
 * Times all cases of a group, in a new random order in each round, so that other work on the
 * machine affects all alike.
 */
export async function measure(
  group: Group,
  requests: number,
  connection: Connection,
  server: TimedServer,
): Promise<GroupFigures> {
  const runs = group.cases.map((one) => ({ one, request: requestOf(one), micros: [] as number[] }));
  let last = new Map<TimedCase, Answer>();
  for (let round = -group.warmUp; round < requests; round++) {
    const answers = new Map<TimedCase, Answer>();
    for (const { one, request, micros } of shuffled(runs)) {
      const answer = await connection.ask(request);
      answers.set(one, answer);
      if (round >= 0) micros.push(answer.micros);
    }
    assertAlike(group, [...answers.values()]);
    last = answers;
  }
  await assertReasons(last, server);
  return figuresOf(
    group.name,
    runs.map(({ one, micros }) => ({ name: one.name, micros })),
  );
}

function requestOf({ as, scope }: TimedCase): Buffer {
  const query = new URLSearchParams({ service: 'container_registry', scope });
  const basic = as && Buffer.from(as.join(':')).toString('base64');
  return Buffer.from(
    `GET /jwt/auth?${query} HTTP/1.1\r\nHost: registry.example.com\r\n${basic === null ? '' : `Authorization: Basic ${basic}\r\n`}\r\n`,
  );
}

/** Shuffles by Fisher and Yates. */
function shuffled<T>(items: readonly T[]): readonly T[] {
  const order = [...items];
  for (let at = order.length - 1; at > 0; at--) {
    const other = Math.floor(Math.random() * (at + 1));
    [order[at], order[other]] = [order[other]!, order[at]!];
  }
  return order;
}

/**
 * All answers of a group must have the same length, or a client could tell them apart without a
 * clock.
 */
function assertAlike({ name, status }: Group, answers: readonly Answer[]): void {
  const seen = answers.map((answer) => `${answer.status}, ${answer.bytes} bytes`);
  const expected = `${status}, ${answers[0]?.bytes} bytes`;
  assert.deepEqual(new Set(seen), new Set([expected]), name);
}

async function assertReasons(answers: ReadonlyMap<TimedCase, Answer>, server: TimedServer): Promise<void> {
  const ids = [...answers.values()].map(({ requestId }) => requestId);
  // The server writes its log in batches, after the answers.
  const log = await until(
    async () => {
      const lines = await server.readLog();
      return ids.every((id) => lines.has(id)) ? lines : undefined;
    },
    () => 'the log lacks the last answers',
  );
  for (const [{ name, because }, { requestId }] of answers)
    assert.equal(reasonIn(log.get(requestId)), because, `${name}: the log shows another reason`);
}

/**
 * The rules that refused; if no rule was asked, the reason why the credentials were refused.
 * Granted access, which should not be there, comes first.
 */
function reasonIn(line: LogLine | undefined): string {
  const {
    granted = [],
    refused,
    reason,
  } = (line ?? {}) as {
    readonly granted?: readonly string[];
    readonly refused?: readonly string[];
    readonly reason?: string;
  };
  const rules = refused?.map((text) => text.slice(text.lastIndexOf(' ') + 1));
  return [...new Set([...granted, ...(rules ?? [reason])])].join(' ');
}
