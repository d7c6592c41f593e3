import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBackup } from '../../../src/store/backup/read-lines.ts';

describe('a backup that does not exist', () => {
  // Often, because the file and its size are asked for at the same time.
  it('is refused, whichever of two questions is answered first', async () => {
    const missing = join(tmpdir(), 'cellpass-no-such.backup');
    for (let round = 0; round < 100; round += 1) {
      const opened = Array.from({ length: 20 }, () => openBackup(missing));
      for (const one of opened) one.catch(() => undefined);
      for (const one of opened)
        await assert.rejects(one, { code: 'invalid', message: /^can't read .*ENOENT/ });
    }
  });
});
