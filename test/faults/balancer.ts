import { startFront } from '../support/e2e/front.ts';

/** A load balancer that distributes connections over the servers that answer `/readyz` with 200. */
export interface Balancer {
  readonly url: string;
  /** The URLs of the servers that were ready at the last check. */
  ready(): readonly string[];
  close(): Promise<void>;
}

const CHECK_MS = 100;

export async function startBalancer(urls: readonly string[]): Promise<Balancer> {
  const front = await startFront();
  let ready: readonly string[] = [];
  const check = async (): Promise<void> => {
    const answers = await Promise.all(urls.map(isReady));
    ready = urls.filter((_, at) => answers[at]);
    front.sendTo(...ready);
  };
  await check();
  let checking = Promise.resolve();
  const timer = setInterval(() => {
    checking = check();
  }, CHECK_MS);
  return {
    url: front.url,
    ready: () => ready,
    async close() {
      clearInterval(timer);
      await checking;
      await front.close();
    },
  };
}

async function isReady(url: string): Promise<boolean> {
  const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(1000) }).catch(() => undefined);
  await response?.arrayBuffer().catch(() => undefined);
  return response?.ok === true;
}
