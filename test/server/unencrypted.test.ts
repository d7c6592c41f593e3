import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { assertRefused, makeSite, type Site } from '../support/processes/site.ts';

/** 0.0.0.0 is this machine for the kernel, but no loopback address. */
describe('serve with connections in clear text', function () {
  this.timeout(30_000);
  let site: Site;
  before(async () => {
    site = await makeSite('postgresql');
  });
  after(() => site.remove());
  const topology = async (more: string) => {
    const file = join(site.dir, 'cells.yaml');
    await writeFile(file, `cells:\n  - {id: 1, legacy: true, url: http://0.0.0.0:9}\n${more}`);
    return { CELLPASS_CELLS_FILE: file };
  };

  it('refuses cells by http', async () => {
    assertRefused(
      await site.run(['serve'], { env: await topology('') }),
      /CELLPASS_CELLS_FILE: .*line 2: cells\.0\.url: http:\/\/0\.0\.0\.0:9 is http.*insecure: true/,
    );
  });

  it('starts where the file says insecure: true, and warns of the database and the registries', async () => {
    const settings = join(site.dir, 'settings.yaml');
    const registries = [
      { name: 'one', url: 'http://0.0.0.0:9' },
      { name: 'two', url: 'http://0.0.0.0:9', insecure: true },
    ];
    await writeFile(settings, JSON.stringify({ registries }));
    const server = await site.serve({
      ...(await topology('insecure: true\n')),
      CELLPASS_CONFIG: settings,
      CELLPASS_DATABASE_URL: (site.env['CELLPASS_DATABASE_URL'] ?? '').replace(
        /127\.0\.0\.1|localhost/,
        '0.0.0.0',
      ),
    });
    const warnings = server.child
      .output()
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as { level: number; msg: string })
      .filter(({ level, msg }) => level === 40 && /TLS/.test(msg))
      .map(({ msg }) => msg.split(' ').slice(0, 2).join(' '));
    assert.deepEqual(warnings, ['CELLPASS_DATABASE_URL: the', 'registries: one']);
    assert.equal(await server.stop(), 0);
  });
});
