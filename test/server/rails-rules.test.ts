import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { until } from '../support/processes/child.ts';
import { makeSite, type Server, type Site, saying } from '../support/processes/site.ts';
import { type RailsStandIn, railsToken, startRailsStandIn } from '../support/rails/stand-in.ts';

for (const workers of [1, 2]) {
  describe(`SIGHUP with GitLab Rails beside ${workers} ${workers === 1 ? 'process' : 'workers'}`, function () {
    this.timeout(60_000);
    let site: Site;
    let rails: RailsStandIn;
    let server: Server;
    let config: string;

    before(async () => {
      site = await makeSite('postgresql');
      rails = await startRailsStandIn(() => railsToken({ access: [], exp: 1 }));
      config = join(site.dir, 'cellpass.yaml');
      await write({});
      server = await site.serve({ CELLPASS_CONFIG: config, CELLPASS_WORKERS: String(workers) });
    });
    after(async () => {
      await site.remove();
      await rails.close();
    });

    const write = (rules: object): Promise<void> =>
      writeFile(config, JSON.stringify({ gitlab: { rails_url: rails.url, ...rules } }));

    /** Until each process answers by the new rules. */
    async function answeredBy(expected: 'rails' | 'cellpass'): Promise<void> {
      await until(
        async () => {
          for (let n = 0; n < 4 * workers; n++) {
            const response = await fetch(`${server.url}/jwt/auth?service=container_registry`, {
              headers: { Connection: 'close' },
            });
            await response.body?.cancel();
            const by = response.headers.get('cellpass-answered-by') ?? 'cellpass';
            if (by !== expected) return undefined;
          }
          return true;
        },
        () => `not answered by ${expected}: ${server.child.output()}`,
      );
    }

    it('reads the rules again, there and back', async () => {
      await answeredBy('cellpass');
      for (const [rules, by] of [
        [{ mode: 'observe' }, 'rails'],
        [{ serve_namespaces: ['acme'] }, 'rails'],
        [{ mode: 'serve' }, 'cellpass'],
        [{ serve_percent: 0 }, 'rails'],
        [{ pass_services: ['container_registry'] }, 'rails'],
        [{}, 'cellpass'],
      ] as const) {
        await write(rules);
        server.child.signal('SIGHUP');
        await answeredBy(by);
      }
    });

    it('keeps the old rules where the new ones are wrong, and says why', async () => {
      await write({ mode: 'both' });
      server.child.signal('SIGHUP');
      await saying(server.child, 'mode: must be one of: serve, observe');
      await answeredBy('cellpass');
      await writeFile(
        config,
        JSON.stringify({ gitlab: { rails_url: 'http://127.0.0.1:9', mode: 'observe' } }),
      );
      server.child.signal('SIGHUP');
      await saying(server.child, 'CELLPASS_GITLAB_RAILS_URL has changed');
      await answeredBy('cellpass');
    });
  });
}
