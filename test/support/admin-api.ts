import { Agent, request } from 'undici';

/** What a request to the admin API came to; status 0: the server went away before it answered. */
export interface AdminAnswer {
  readonly status: number;
  readonly body: string;
}

/** The admin API over the socket, without the time that a command takes to start. */
export interface AdminApi {
  send(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: string | object): Promise<AdminAnswer>;
  close(): Promise<void>;
}

export function openAdminApi(socketPath: string): AdminApi {
  const agent = new Agent({ connect: { socketPath } });
  return {
    async send(method, path, body) {
      const isText = typeof body === 'string';
      try {
        const response = await request(`http://cellpass${path}`, {
          method,
          dispatcher: agent,
          headers: { 'content-type': isText ? 'application/yaml' : 'application/json' },
          body: body === undefined ? null : isText ? body : JSON.stringify(body),
        });
        return { status: response.statusCode, body: await response.body.text() };
      } catch {
        return { status: 0, body: '' };
      }
    },
    close: () => agent.destroy(),
  };
}
