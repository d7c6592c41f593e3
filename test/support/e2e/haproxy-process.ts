import { connect } from 'node:net';
import { type Child, startChild, until } from '../processes/child.ts';

/** HAProxy in master-worker mode, as its packages run it. */
export interface Haproxy {
  readonly child: Child;
  /** Reloads the configuration from the folder; resolves when the new worker answers. */
  reload(): Promise<void>;
  stop(): Promise<void>;
}

export interface HaproxyOptions {
  readonly haproxy: string;
  /** The folder that `cells haproxy` wrote. */
  readonly config: string;
  /** The port of the configuration. */
  readonly port: number;
}

const LOADED = /Loading success/g;

export async function startHaproxy({ haproxy, config, port }: HaproxyOptions): Promise<Haproxy> {
  const child = startChild('haproxy', haproxy, ['-W', '-f', config]);
  const loads = () => child.output().match(LOADED)?.length ?? 0;
  const loaded = (times: number) =>
    until(
      () => {
        if (!child.running()) throw new Error(`haproxy ended:\n${child.output()}`);
        return loads() >= times || undefined;
      },
      () => `haproxy did not load its configuration:\n${child.output()}`,
    );
  try {
    await loaded(1);
    await until(
      () => listens(port),
      () => `haproxy does not listen:\n${child.output()}`,
    );
  } catch (error) {
    await child.stop();
    throw error;
  }
  return {
    child,
    async reload() {
      const before = loads();
      child.signal('SIGUSR2');
      await loaded(before + 1);
    },
    stop: () => child.stop(),
  };
}

function listens(port: number): Promise<true | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(undefined));
  });
}
