import assert from 'node:assert/strict';
import { readableLine } from '../../src/server/readable-line.ts';

const LINE = { level: 30, time: '2026-11-24T12:34:56.789Z' };
const REQUEST = {
  ...LINE,
  request_id: '0b5f7c1e-0000-4000-8000-000000000000',
  method: 'GET',
  path: '/jwt/auth',
  status: 200,
  client: '127.0.0.1',
  duration_ms: 3.4567,
  msg: 'request',
};

describe('a log line for a terminal', () => {
  const rows: [what: string, line: object, text: string][] = [
    [
      'has the time in UTC, the level, the message and the fields',
      { ...LINE, activated: 'key-1', staged: null, msg: 'key rotation' },
      '12:34:56Z info  key rotation  activated=key-1  staged=null\n',
    ],
    [
      'says in short what a request asked for and got',
      { ...REQUEST, subject: 'alice', asked: ['repository:a/b:pull'], granted: ['repository:a/b:pull'] },
      '12:34:56Z info  GET /jwt/auth 200 in 3 ms  subject=alice  client=127.0.0.1  asked=repository:a/b:pull  granted=repository:a/b:pull\n',
    ],
    [
      'says that nothing was granted, and has the id of a refused request',
      { ...REQUEST, status: 403, granted: [], reason: 'denied' },
      '12:34:56Z info  GET /jwt/auth 403 in 3 ms  client=127.0.0.1  granted=nothing  reason=denied  request_id=0b5f7c1e-0000-4000-8000-000000000000\n',
    ],
    [
      'has the id of a request that was refused in part',
      { ...REQUEST, refused: ['a/b:push role'] },
      '12:34:56Z info  GET /jwt/auth 200 in 3 ms  client=127.0.0.1  refused=a/b:push role  request_id=0b5f7c1e-0000-4000-8000-000000000000\n',
    ],
    [
      'leaves out the registry configuration, which is printed below it',
      { ...LINE, cell: 1, registry_configuration: ['auth:\n  token:'], msg: 'listening' },
      '12:34:56Z info  listening  cell=1\n',
    ],
    [
      'ends a warning with the message of its error',
      {
        ...LINE,
        level: 40,
        err: { message: 'no answer', stack: 'Error: no answer\n    at x (y.ts:1:1)' },
        msg: 'm',
      },
      '12:34:56Z warn  m: no answer\n',
    ],
    [
      'shows the stack below an error',
      {
        ...LINE,
        level: 50,
        err: { message: 'broken', stack: 'Error: broken\n    at x (y.ts:1:1)' },
        msg: 'm',
      },
      '12:34:56Z error m: broken\n    at x (y.ts:1:1)\n',
    ],
    [
      'escapes what would move the cursor, start a line or turn the text around',
      { ...REQUEST, path: '/\u001b[2J\r\nx\u009b\u202e\u2028', subject: 'a\nb', asked: ['\u0007'] },
      '12:34:56Z info  GET /\\u001b[2J\\u000d\\u000ax\\u009b\\u202e\\u2028 200 in 3 ms  subject=a\\u000ab  client=127.0.0.1  asked=\\u0007\n',
    ],
    [
      'escapes the message of an error, too',
      { ...LINE, level: 50, err: { message: 'a\n\u001b[31m' }, msg: 'm' },
      '12:34:56Z error m: a\\u000a\\u001b[31m\n',
    ],
  ];
  for (const [what, line, text] of rows) {
    it(what, () => assert.equal(readableLine(`${JSON.stringify(line)}\n`), text));
  }

  it('is the line itself, escaped, where that is not JSON', () => {
    assert.equal(readableLine('not \u001b JSON\n'), 'not \\u001b JSON\n');
  });
});
