import assert from 'node:assert/strict';
import type { Worker } from 'node:cluster';
import { EventEmitter, once } from 'node:events';
import { watchHeartbeat } from '../../../src/server/workers/heartbeat.ts';

const PING_MS = 5;

/** A worker that answers the first `answers` questions. */
function fakeWorker(answers: number) {
  const emitter = new EventEmitter();
  const asked: unknown[] = [];
  const worker = Object.assign(emitter, {
    id: 7,
    isConnected: () => true,
    process: { kill: (signal: string) => emitter.emit('killed', signal) },
    send: (message: unknown) => {
      asked.push(message);
      emitter.emit('asked');
      if (asked.length <= answers) queueMicrotask(() => emitter.emit('message', { kind: 'alive' }));
    },
  });
  return { worker: worker as unknown as Worker, emitter, asked };
}

describe('the heartbeat of a worker', () => {
  const errors: string[] = [];
  const log = { error: (_fields: object, message: string) => errors.push(message) };
  beforeEach(() => {
    errors.length = 0;
  });

  it('kills a worker that gives no answer any more, and says so', async () => {
    const { worker, emitter, asked } = fakeWorker(3);
    watchHeartbeat(worker, log, PING_MS);
    // The heartbeat keeps no process alive.
    const awake = setInterval(() => undefined, 1000);
    const [signal] = await once(emitter, 'killed');
    clearInterval(awake);
    assert.equal(signal, 'SIGKILL');
    assert.equal(asked.length, 4);
    assert.deepEqual(errors, ['a worker no longer answers; ending it']);
  });

  it('leaves a worker alone that answers', async () => {
    const { worker, emitter } = fakeWorker(Number.POSITIVE_INFINITY);
    emitter.once('killed', () => assert.fail('it was killed'));
    watchHeartbeat(worker, log, PING_MS);
    const awake = setInterval(() => undefined, 1000);
    for (let i = 0; i < 30; i++) await once(emitter, 'asked');
    clearInterval(awake);
    emitter.emit('exit');
    assert.deepEqual(errors, []);
  });
});
