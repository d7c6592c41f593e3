import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { collectDefaultMetrics, Registry } from 'prom-client';
import request from 'supertest';
import { parse } from 'yaml';
import { startTestServer } from './support/server.ts';

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
const NAME = /\b(?:cellpass|nodejs|process)_[a-z0-9_]+/g;

/** `name` → type, as in a scrape. */
async function exposed(): Promise<ReadonlyMap<string, string>> {
  const server = await startTestServer();
  try {
    const { text } = await request(server.admin).get('/metrics');
    const registry = new Registry();
    collectDefaultMetrics({ register: registry });
    const lines = [...`${text}\n${await registry.metrics()}`.matchAll(/^# TYPE (\S+) (\S+)$/gm)];
    return new Map(lines.map(([, name = '', type = '']) => [name, type]));
  } finally {
    await server.close();
  }
}

interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly targets?: readonly { readonly expr: string }[];
  }[];
}
interface Rules {
  readonly groups: readonly {
    readonly rules: readonly { readonly alert: string; readonly expr: string }[];
  }[];
}

describe('the documented metrics', () => {
  let metrics: ReadonlyMap<string, string>;
  before(async () => {
    metrics = await exposed();
  });

  /** Whether the metric exists; queries name a histogram by its parts, such as `_bucket`. */
  const isThere = (name: string): boolean => {
    const base = name.replace(/_(bucket|sum|count)$/, '');
    return metrics.get(base) === 'histogram' ? base !== name : metrics.has(name);
  };
  const unknownIn = (expr: string): readonly string[] =>
    (expr.match(NAME) ?? []).filter((name) => !isThere(name));

  it('every panel of the dashboard uses existing metrics', () => {
    const { panels }: Dashboard = JSON.parse(read('deploy/grafana/cellpass.json'));
    const queries = panels.flatMap(({ title, targets = [] }) =>
      targets.map(({ expr }) => [title, expr] as const),
    );
    assert.ok(queries.length > 15);
    for (const [title, expr] of queries) {
      assert.match(expr, NAME, title);
      assert.deepEqual(unknownIn(expr), [], title);
    }
  });

  it('every alert uses existing metrics', () => {
    const { groups }: Rules = parse(read('deploy/prometheus/alerts.yml'));
    const rules = groups.flatMap((group) => group.rules);
    assert.ok(rules.length > 6);
    for (const { alert, expr } of rules) {
      assert.match(expr, NAME, alert);
      assert.deepEqual(unknownIn(expr), [], alert);
    }
  });

  it('an alert each says that one replica is missing, and that tokens are slow', () => {
    const { groups }: Rules = parse(read('deploy/prometheus/alerts.yml'));
    const exprs = new Map(groups.flatMap(({ rules }) => rules).map(({ alert, expr }) => [alert, expr]));
    assert.match(exprs.get('CellpassReplicaDown') ?? '', /^up == 0 and on \(job\)/);
    assert.match(exprs.get('CellpassSlow') ?? '', /histogram_quantile\(0\.99, .*step="total"/);
  });

  it('alerts say that the TLS certificate ends soon, and that a registry refused a canary', () => {
    const { groups }: Rules = parse(read('deploy/prometheus/alerts.yml'));
    const exprs = new Map(groups.flatMap(({ rules }) => rules).map(({ alert, expr }) => [alert, expr]));
    for (const alert of ['CellpassTlsCertificateExpiring', 'CellpassTlsCertificateExpired'])
      assert.match(
        exprs.get(alert) ?? '',
        /cellpass_tls_certificate_expiry_timestamp_seconds\) - time\(\) < /,
      );
    assert.match(exprs.get('CellpassCanaryRefused') ?? '', /outcome="refused".*> on.*outcome="accepted"/s);
  });

  it('the deployed server drains longer than its balancer needs, and is not killed before its end', () => {
    const { services } = parse(read('deploy/compose.yaml'));
    const { environment, stop_grace_period: grace } = services.cellpass;
    const [, everySeconds] = /cellpass:8080 check inter (\d+)s/.exec(read('deploy/haproxy.cfg')) ?? [];
    const drain = Number(environment.CELLPASS_DRAIN_SECONDS);
    // HAProxy's default: three failed checks.
    assert.ok(drain > 3 * Number(everySeconds), String(drain));
    assert.ok(Number.parseInt(grace, 10) > drain + 20, grace);
  });

  it('the systemd unit drains as long, and is not killed before its end', () => {
    const unit = read('deploy/cellpass.service');
    const numberOf = (setting: RegExp): number => Number(setting.exec(unit)?.[1]);
    const { environment } = parse(read('deploy/compose.yaml')).services.cellpass;
    const drain = numberOf(/^Environment=CELLPASS_DRAIN_SECONDS=(\d+)$/m);
    assert.equal(drain, environment.CELLPASS_DRAIN_SECONDS);
    assert.ok(numberOf(/^TimeoutStopSec=(\d+)$/m) > drain + 20);
  });

  it('docs/monitoring.md lists exactly the metrics that exist', () => {
    const rows = [...read('docs/monitoring.md').matchAll(/^\| `(cellpass_[a-z_]+)` \|/gm)].map(
      ([, name]) => name,
    );
    const ours = [...metrics.keys()].filter((name) => name.startsWith('cellpass_'));
    assert.deepEqual([...rows].sort(), ours.sort());
  });
});
