import assert from 'node:assert/strict';
import { until } from '../../support/e2e/child.ts';
import type { Group, TimedCase } from './cases.ts';
import type { Answer, Connection } from './connection.ts';
import { figuresOf, type GroupFigures } from './figures.ts';
import type { LogLine, TimedServer } from './server.ts';

/** Times all cases of a group, in another order in each round, so that whatever else the machine does meets them alike. */
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

/** Fisher and Yates. */
function shuffled<T>(items: readonly T[]): readonly T[] {
  const order = [...items];
  for (let at = order.length - 1; at > 0; at--) {
    const other = Math.floor(Math.random() * (at + 1));
    [order[at], order[other]] = [order[other]!, order[at]!];
  }
  return order;
}

/** What differs in length needs no clock to be told apart. */
function assertAlike({ name, status }: Group, answers: readonly Answer[]): void {
  const seen = answers.map((answer) => `${answer.status}, ${answer.bytes} bytes`);
  const expected = `${status}, ${answers[0]?.bytes} bytes`;
  assert.deepEqual(new Set(seen), new Set([expected]), name);
}

async function assertReasons(answers: ReadonlyMap<TimedCase, Answer>, server: TimedServer): Promise<void> {
  const ids = [...answers.values()].map(({ requestId }) => requestId);
  // The server writes its log in batches, behind the answers.
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

/** The rules that refused; where none was asked, why the credentials were. What was granted comes first, and should not come. */
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
