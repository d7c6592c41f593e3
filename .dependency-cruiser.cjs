/** The import direction of src/, lowest first; see docs/architecture.md. */
const ORDER = [
  '(addresses|ascii|errors|expiring-map|log|nearest-name|printable|shortened|terminal|version|within)\\.ts',
  'shares/',
  'config/',
  'policy/',
  'authn/',
  'cells/',
  'keys/',
  'token/',
  'comparison/',
  'store/',
  'rotation/',
  'directory/',
  'records/',
  'http/',
  'app\\.ts',
  'server/',
  'cli/',
  'main\\.ts',
].map((path) => `^src/${path}`);

const only = (name, path, pathNot) => ({
  name,
  severity: 'error',
  from: { path: '^src/', pathNot },
  to: { path },
});

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    ...ORDER.slice(0, -1).map((path, i) => ({
      name: `points-down ${path}`,
      severity: 'error',
      from: { path },
      to: { path: ORDER.slice(i + 1) },
    })),
    {
      name: 'policy-is-pure',
      severity: 'error',
      from: { path: '^src/policy/' },
      to: { dependencyTypes: ['npm', 'core'] },
    },
    only('koa-in-http', 'node_modules/(@?koa)', '^src/(http/|app\\.ts)'),
    only('sql-in-store', 'node_modules/((@types/)?pg|@electric-sql)/', '^src/store/'),
    only('hashes-in-password-schemes', 'node_modules/(argon2|bcrypt)/', '^src/authn/password-schemes\\.ts'),
    only(
      'postgres-wired-once',
      '^src/store/(source/own/|database/migrat|keys)',
      '^src/(store/|server/|cli/|main\\.ts)',
    ),
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
  },
};
