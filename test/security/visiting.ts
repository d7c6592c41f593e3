import type { Response } from 'supertest';
import type { Login } from '../support/directory/acme.ts';
import { buildTown, type Holder, type Town } from '../support/directory/town.ts';
import { grantedBy } from '../support/reading.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

/** A town and the server that knows it, for the suite that it stands in. */
export interface Visit {
  readonly town: Town;
  server(): TestServer;
  /** `GET /jwt/auth`; null: without credentials. */
  ask(as: Login | null, ...scopes: string[]): Promise<Response>;
  /** What the token of a 200 grants, as scopes. */
  granted(as: Login | null, ...scopes: string[]): Promise<readonly string[]>;
}

export function visitTown(town = buildTown()): Visit {
  let server: TestServer | undefined;
  before(async () => {
    server = await startTestServer();
    await server.apply(town.document);
  });
  after(() => server?.close());
  const ask = async (as: Login | null, ...scope: string[]): Promise<Response> =>
    server!.ask({ ...(as !== null && { as }), scope });
  return {
    town,
    server: () => server!,
    ask,
    granted: async (as, ...scopes) => grantedBy(server!, await ask(as, ...scopes)),
  };
}

/** The holder with exactly these token scopes. */
export function withScopes(holders: readonly Holder[], ...tokenScopes: string[]): Login {
  return holders.find((holder) => holder.tokenScopes.join() === tokenScopes.join())!.login;
}
