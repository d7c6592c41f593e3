import type { AddressInfo } from 'node:net';
import { loadConfig } from '../../../src/config/load.ts';
import type { RailsRules } from '../../../src/config/rails.ts';
import { type OpenGitlab, openGitlab } from '../../../src/server/open-gitlab.ts';
import { type GitlabTestOptions, type GitlabTestServer, startGitlabServer } from '../gitlab/server.ts';
import { startTestServer, type TestServer } from '../server.ts';
import {
  likeServer,
  type RailsBehaviour,
  type RailsStandIn,
  type RawAnswer,
  startRailsStandIn,
} from './stand-in.ts';

/** A server with a stand-in for Rails that answers by the same GitLab, with keys of its own. */
export interface BesideRails {
  readonly server: GitlabTestServer;
  readonly rails: RailsStandIn;
  /** What Rails answers, changed or not. */
  likeRails(change?: (answer: RawAnswer) => RawAnswer): RailsBehaviour;
  /** Replaces some of the rules, as SIGHUP does. */
  setRules(rules: Partial<RailsRules>): void;
  close(): Promise<void>;
}

export async function startBesideRails(options: GitlabTestOptions = {}): Promise<BesideRails> {
  const rails = await startRailsStandIn();
  const environment = { CELLPASS_GITLAB_RAILS_URL: rails.url, ...options.environment };
  const first = loadConfig(environment).rails?.rules;
  if (first === undefined) throw new Error('the settings name no Rails');
  let rules: RailsRules = first;
  const server = await startGitlabServer({ ...options, environment, railsRules: () => rules });
  const { twin, databases } = await startTwin(server);
  const { port } = twin.app.address() as AddressInfo;
  const likeRails = (change?: (answer: RawAnswer) => RawAnswer): RailsBehaviour =>
    likeServer(`http://127.0.0.1:${port}`, change);
  rails.behave(likeRails());
  return {
    server,
    rails,
    likeRails,
    setRules: (changed) => {
      rules = { ...rules, ...changed };
    },
    close: async () => {
      await server.close();
      await twin.close();
      await databases.close();
      await rails.close();
    },
  };
}

/** On the same GitLab, which it may not write to either. */
async function startTwin(
  server: GitlabTestServer,
): Promise<{ readonly twin: TestServer; readonly databases: OpenGitlab }> {
  const environment: Record<string, string> = { ...server.environment };
  for (const name of ['RAILS_URL', 'MODE', 'WRITE_DATABASE_URL']) environment[`CELLPASS_GITLAB_${name}`] = '';
  const settings = loadConfig(environment).gitlab;
  if (settings === null) throw new Error('the settings name no GitLab');
  const log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
  const databases = await openGitlab(settings, log);
  return { databases, twin: await startTestServer({ environment, gitlab: databases, log }) };
}

const ignore = (): void => undefined;
