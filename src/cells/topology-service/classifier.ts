import { request } from 'undici';
import { z } from 'zod';
import type { Log } from '../../log.ts';
import { isMapping } from '../../mapping.ts';
import { hostOf, type TopologyServiceSettings } from '../topology.ts';
import { openTlsAgent } from './tls-agent.ts';

export interface ClassifierOptions extends TopologyServiceSettings {
  readonly monotonicMs: () => number;
  readonly log: Pick<Log, 'error'>;
}

/** Asks the Topology Service, which speaks gRPC-gateway's JSON (`POST /v1/classify`). */
export interface Classifier {
  /**
   * The host of the cell that claims a top-level namespace, in lower case; null: none does.
   * @throws when the service gives no answer that can be read, within `timeoutMs` in all.
   */
  classify(namespace: string): Promise<string | null>;
  close(): Promise<void>;
}

/** The service refuses the question in both forms: it does not like the name, and is well. */
export class NameRefused extends Error {}

/** Services of before mid-2026 know one claim at a time. After so long they are tried again. */
const OLDER_FORM_MS = 60 * 60_000;

/** `refused`: the service does not understand the question. */
type Reply = { readonly host: string | null } | 'refused';

export function createClassifier(options: ClassifierOptions): Classifier {
  const { url, timeoutMs, monotonicMs } = options;
  const agent = openTlsAgent(options);
  let olderUntilMs = Number.NEGATIVE_INFINITY;

  const ask = async (question: object, signal: AbortSignal): Promise<Reply> => {
    const { statusCode, headers, body } = await request(`${url}/v1/classify`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Accept: 'application/json' },
      body: JSON.stringify(question),
      dispatcher: agent.current(),
      signal,
    });
    const text = await body.text();
    if (statusCode === 400) return 'refused';
    const isJson = /^application\/json *(?:;|$)/i.test(String(headers['content-type'] ?? ''));
    // A proxy answers 404, too, where the service is not.
    if (statusCode === 404 && isJson && isObject(text)) return { host: null };
    if (statusCode !== 200) throw new Error(`the Topology Service answered ${statusCode}`);
    return readAnswer(text);
  };
  const askNewest = (namespace: string, signal: AbortSignal): Promise<Reply> =>
    ask({ claims: [{ route: namespace }, { redirectRoute: namespace }] }, signal);
  const askOlder = async (namespace: string, signal: AbortSignal): Promise<Reply> => {
    const byRoute = await ask({ claim: { route: namespace } }, signal);
    if (byRoute === 'refused' || byRoute.host !== null) return byRoute;
    const byRedirect = await ask({ claim: { redirectRoute: namespace } }, signal);
    // A service that knows no redirects has answered the question.
    return byRedirect === 'refused' ? byRoute : byRedirect;
  };
  return {
    async classify(namespace) {
      const name = namespace.toLowerCase();
      const signal = AbortSignal.timeout(timeoutMs);
      const isOlder = monotonicMs() < olderUntilMs;
      const first = isOlder ? await askOlder(name, signal) : await askNewest(name, signal);
      if (first !== 'refused') return first.host;
      // The service may have been upgraded within the hour, or have been replaced by an older one.
      const second = isOlder ? await askNewest(name, signal) : await askOlder(name, signal);
      if (second === 'refused') throw new NameRefused('the Topology Service answered 400');
      olderUntilMs = isOlder ? Number.NEGATIVE_INFINITY : monotonicMs() + OLDER_FORM_MS;
      return second.host;
    },
    close: () => agent.close(),
  };
}

/**
 * Names by the protobuf mapping: lower camel case, or as they are in the definition. There, null is
 * the same as missing.
 */
const answer = z.object({
  action: z.string().nullish(),
  proxy: z.object({ address: z.string().min(1) }).nullish(),
});

/** An answer without an action is of a service that ignored what it does not know of the question. */
function readAnswer(text: string): Reply {
  const { action, proxy } = answer.parse(JSON.parse(text));
  if (action == null) return 'refused';
  if (action !== 'PROXY' || proxy == null) {
    throw new Error(`the Topology Service says ${JSON.stringify(action.slice(0, MOST_SHOWN))}, not PROXY`);
  }
  const host = hostOf(proxy.address);
  if (host === null) throw new Error('the Topology Service names an address that is no host');
  return { host };
}

const MOST_SHOWN = 40;

function isObject(text: string): boolean {
  try {
    return isMapping(JSON.parse(text));
  } catch {
    return false;
  }
}
