import { access, constants, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { type Outcome, runToEnd } from '../processes/child.ts';

/** The programs that the end-to-end tests run beside cellpass. */
export type DebianTool =
  | 'buildah'
  | 'docker'
  | 'docker-registry'
  | 'haproxy'
  | 'jq'
  | 'libfaketime'
  | 'pgbouncer'
  | 'podman'
  | 'postgres'
  | 'ruby'
  | 'shellcheck'
  | 'skopeo';
export type GoTool = keyof typeof GO_MODULES;

/**
 * If this is set, missing programs are installed, and a program that can't be installed is an
 * error.
 */
const INSTALL = process.env['CELLPASS_TEST_INSTALL'] === '1';
const CACHE = join(import.meta.dirname, '../../../node_modules/.cache/cellpass-e2e');
/** A library that is loaded before the C library, and sets the clock of one process. */
const LIBFAKETIME = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/faketime/libfaketime.so.1`;
/** Where Debian's package has the programs of PostgreSQL. */
const POSTGRES_FOLDER = '/usr/lib/postgresql/15/bin';
const MINUTE = 60_000;
/** How long the installation of one program may take. */
export const INSTALL_MS = 15 * MINUTE;

const GO_MODULES = {
  'registry-3.0': 'github.com/distribution/distribution/v3/cmd/registry@v3.0.0',
  'registry-3.1': 'github.com/distribution/distribution/v3/cmd/registry@v3.1.2',
  helm: 'helm.sh/helm/v3/cmd/helm@v3.19.2',
  crane: 'github.com/google/go-containerregistry/cmd/crane@v0.22.1',
  oras: 'oras.land/oras/cmd/oras@v1.3.6',
  regctl: 'github.com/regclient/regclient/cmd/regctl@v0.11.7',
} as const;

const PACKAGES: Readonly<Record<DebianTool, string>> = {
  buildah: 'buildah',
  docker: 'docker.io',
  'docker-registry': 'docker-registry',
  haproxy: 'haproxy',
  jq: 'jq',
  libfaketime: 'libfaketime',
  pgbouncer: 'pgbouncer',
  podman: 'podman',
  postgres: 'postgresql-15',
  ruby: 'ruby-encryptor',
  shellcheck: 'shellcheck',
  skopeo: 'skopeo',
};

/** What is no program, or no use without this file. */
const FILES: Readonly<Partial<Record<DebianTool, string>>> = {
  libfaketime: LIBFAKETIME,
  // The libraries that GitLab encrypts its tokens with.
  ruby: '/usr/lib/ruby/vendor_ruby/encryptor.rb',
};

const found = new Map<string, Promise<string | undefined>>();
let listsUpdated: Promise<Outcome> | undefined;

/**
 * The path of a program from a Debian package; undefined, and one printed line, if it is missing.
 */
export function debianTool(name: DebianTool): Promise<string | undefined> {
  return once(name, async () => {
    const present = name in FILES ? await existing(FILES[name] ?? '') : await inPath(name);
    if (present !== undefined) return present;
    if (INSTALL) return INSTALLERS[name]();
    const hint = `apt-get install ${PACKAGES[name]}, or set CELLPASS_TEST_INSTALL=1`;
    console.log(`skipped: end-to-end tests with ${name}, which is not installed (${hint})`);
    return undefined;
  });
}

/**
 * The path of the first program, as `debianTool`; looks for the others, too, so that each missing
 * one is reported.
 */
export async function debianTools(...names: [DebianTool, ...DebianTool[]]): Promise<string | undefined> {
  for (const name of names) await debianTool(name);
  return debianTool(names[0]);
}

/**
 * The path of a program built by `go install` at a pinned version; undefined, and one printed line,
 * without Go.
 */
export function goTool(name: GoTool): Promise<string | undefined> {
  return once(name, async () => {
    const go = await once('go', () => inPath('go'));
    if (go !== undefined) return goInstall(go, GO_MODULES[name]);
    const hint = 'it is built with Go, which is not installed (https://go.dev/doc/install)';
    if (INSTALL) throw new Error(`${name}: ${hint}`);
    console.log(`skipped: end-to-end tests with ${name}; ${hint}`);
    return undefined;
  });
}

const INSTALLERS: Readonly<Record<DebianTool, () => Promise<string>>> = {
  // These two packages would start daemons, so they are unpacked and not installed.
  docker: () => unpack(PACKAGES.docker, 'usr/bin/docker'),
  'docker-registry': () => unpack(PACKAGES['docker-registry'], 'usr/bin/docker-registry'),
  // This package would start a daemon, too; its libraries are installed as usual.
  haproxy: () => unpack(PACKAGES.haproxy, 'usr/sbin/haproxy', { withLibraries: true }),
  libfaketime: () => unpack(PACKAGES.libfaketime, LIBFAKETIME.slice(1)),
  pgbouncer: () => unpack(PACKAGES.pgbouncer, 'usr/sbin/pgbouncer', { withLibraries: true }),
  postgres: async () => {
    // Otherwise the package would make a database cluster, and start it.
    await mkdir('/etc/postgresql-common', { recursive: true });
    await writeFile('/etc/postgresql-common/createcluster.conf', 'create_main_cluster = false\n');
    await aptGet(['install', '--yes', '--no-install-recommends', PACKAGES.postgres]);
    return join(POSTGRES_FOLDER, 'postgres');
  },
  buildah: () => installed('buildah'),
  jq: () => installed('jq'),
  podman: () => installed('podman'),
  ruby: async () => {
    await aptGet(['install', '--yes', '--no-install-recommends', 'ruby', 'ruby-encryptor', 'ruby-bcrypt']);
    return FILES.ruby ?? '';
  },
  shellcheck: () => installed('shellcheck'),
  skopeo: () => installed('skopeo'),
};

async function installed(name: DebianTool): Promise<string> {
  await aptGet(['install', '--yes', '--no-install-recommends', PACKAGES[name]]);
  return (await inPath(name)) ?? `/usr/bin/${name}`;
}

async function unpack(
  debianPackage: string,
  program: string,
  { withLibraries = false } = {},
): Promise<string> {
  const target = join(CACHE, debianPackage);
  const path = join(target, program);
  if ((await existing(path)) !== undefined) return path;
  const dir = await mkdtemp(`${await cacheFolder()}/unpack-`);
  await aptGet(['download', debianPackage], dir);
  await must('sh', ['-c', 'for file in *.deb; do dpkg-deb --extract "$file" root; done'], { cwd: dir });
  if (withLibraries) {
    const depends = await must('sh', ['-c', 'dpkg-deb --field *.deb Depends'], { cwd: dir });
    await aptGet(['satisfy', '--yes', '--no-install-recommends', depends.stdout.trim()]);
  }
  await putInPlace(join(dir, 'root'), target, path);
  await rm(dir, { recursive: true });
  return path;
}

/** In one step, so that an interruption leaves nothing incomplete; another process may be faster. */
async function putInPlace(folder: string, target: string, path: string): Promise<void> {
  await rename(folder, target).catch(async (error: unknown) => {
    if ((await existing(path)) === undefined) throw error;
  });
}

async function goInstall(go: string, module: string): Promise<string> {
  const program = module.replace(/^.*\/([^/]+)@.*$/, '$1');
  const target = join(CACHE, module.replace(/^.*\//, ''));
  const path = join(target, program);
  if (await executable(path)) return path;
  const dir = await mkdtemp(`${await cacheFolder()}/build-`);
  await must(go, ['install', module], { env: { ...inherited(), GOBIN: dir } });
  // Rename in one step, so that an interrupted build leaves no incomplete program.
  await rename(dir, target);
  return path;
}

/** One at a time: other parts of the tests may install at the same time, and apt-get would fail. */
async function aptGet(args: string[], cwd = '/'): Promise<void> {
  const locked = [join(tmpdir(), 'cellpass-apt.lock'), 'apt-get'];
  listsUpdated ??= must('flock', [...locked, 'update']);
  await listsUpdated;
  await must('flock', [...locked, ...args], { cwd });
}

async function must(
  command: string,
  args: string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<Outcome> {
  const env = options.env ?? { ...inherited(), DEBIAN_FRONTEND: 'noninteractive' };
  const outcome = await runToEnd(command, args, { ...options, env, timeoutMs: INSTALL_MS });
  if (outcome.code !== 0) {
    throw new Error(`${command} ${args.join(' ')}: exit ${outcome.code}\n${outcome.stdout}${outcome.stderr}`);
  }
  return outcome;
}

function once(name: string, find: () => Promise<string | undefined>): Promise<string | undefined> {
  const known = found.get(name) ?? find();
  found.set(name, known);
  return known;
}

async function cacheFolder(): Promise<string> {
  await mkdir(CACHE, { recursive: true });
  return CACHE;
}

async function inPath(name: string): Promise<string | undefined> {
  // Debian puts servers into the last two, and not every user's PATH has them.
  const path = (process.env['PATH'] ?? '').split(delimiter);
  for (const folder of [POSTGRES_FOLDER, ...path, '/usr/sbin']) {
    const program = join(folder, name);
    if (await executable(program)) return program;
  }
  return undefined;
}

async function existing(path: string): Promise<string | undefined> {
  return access(path).then(
    () => path,
    () => undefined,
  );
}

async function executable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** Package managers need their proxies and caches. */
function inherited(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}
