import { randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Outcome, runToEnd } from '../processes/child.ts';
import type { Credentials } from './directory.ts';
import type { OciImage } from './oci-image.ts';

/** The registry and the credentials of one client command; without credentials it is anonymous. */
export interface Session {
  readonly host: string;
  readonly credentials: Credentials | undefined;
  /** The folder in which each command gets a new home folder. */
  readonly dir: string;
}

/** A client that logs in; its exit code reports the registry's answer. */
export type Login = (session: Session & { credentials: Credentials }) => Promise<Outcome>;

/** A client that moves images; `reference` is `host/repository:tag` or `host/repository@digest`. */
export interface Copier {
  push(image: OciImage, reference: string, session: Session): Promise<Outcome>;
  /** Pulls an image into a new OCI layout at `target`. */
  pull(reference: string, target: string, session: Session): Promise<Outcome>;
  /** Copies an image to another repository of the same registry. */
  copy(from: string, to: string, session: Session): Promise<Outcome>;
  /** Deletes an image; `reference` must name a digest. */
  remove(reference: string, session: Session): Promise<Outcome>;
}

export function dockerLogin(docker: string): Login {
  return loginBy((home, { host, credentials }) => [
    docker,
    ['--config', home, 'login', '--username', credentials.username, '--password-stdin', host],
  ]);
}

/** podman, buildah and skopeo share a library and these options. */
export function skopeoLogin(skopeo: string): Login {
  return loginBy((home, { host, credentials }) => [
    skopeo,
    [
      ...['login', '--tls-verify=false', '--authfile', join(home, 'auth.json')],
      ...['--username', credentials.username, '--password-stdin', host],
    ],
  ]);
}

export function orasLogin(oras: string): Login {
  return loginBy((home, { host, credentials }) => [
    oras,
    [
      ...['login', '--plain-http', '--registry-config', join(home, 'auth.json')],
      ...['--username', credentials.username, '--password-stdin', host],
    ],
  ]);
}

/** Logs in by POST, and again by GET if that fails. */
export function helmLogin(helm: string): Login {
  return loginBy((home, { host, credentials }) => [
    helm,
    [
      ...['registry', 'login', '--plain-http', '--registry-config', join(home, 'auth.json')],
      ...['--username', credentials.username, '--password-stdin', host],
    ],
  ]);
}

export function regctlLogin(regctl: string): Login {
  return loginBy((_home, { host, credentials }) => [
    regctl,
    [
      ...['registry', 'login', '--host', `reg=${host},tls=disabled`],
      ...['--user', credentials.username, '--pass-stdin', host],
    ],
  ]);
}

export function skopeoCopier(skopeo: string): Copier {
  const run = (session: Session, command: string, ...args: string[]) =>
    runAs(session, ({ authfile }) => [
      skopeo,
      ['--insecure-policy', command, '--authfile', authfile, ...args],
    ]);
  return {
    push: (image, reference, session) =>
      run(
        session,
        'copy',
        ...['--dest-tls-verify=false', '--preserve-digests'],
        ...[`oci:${image.dir}:${image.tag}`, `docker://${reference}`],
      ),
    pull: (reference, target, session) =>
      run(
        session,
        'copy',
        ...['--src-tls-verify=false', '--preserve-digests'],
        ...[`docker://${reference}`, `oci:${target}:pulled`],
      ),
    copy: (from, to, session) =>
      run(
        session,
        'copy',
        ...['--src-tls-verify=false', '--dest-tls-verify=false', '--preserve-digests'],
        ...[`docker://${from}`, `docker://${to}`],
      ),
    remove: (reference, session) => run(session, 'delete', '--tls-verify=false', `docker://${reference}`),
  };
}

export function craneCopier(crane: string): Copier {
  const run = (session: Session, ...args: string[]) => runAs(session, () => [crane, args]);
  return {
    push: (image, reference, session) => run(session, 'push', image.dir, reference),
    pull: (reference, target, session) => run(session, 'pull', '--format=oci', reference, target),
    copy: (from, to, session) => run(session, 'copy', from, to),
    remove: (reference, session) => run(session, 'delete', reference),
  };
}

export function orasCopier(oras: string): Copier {
  const run = (session: Session, args: (authfile: string) => string[]) =>
    runAs(session, ({ authfile }) => [oras, args(authfile)]);
  return {
    push: (image, reference, session) =>
      run(session, (authfile) => [
        ...['cp', '--from-oci-layout', `${image.dir}:${image.tag}`],
        ...['--to-plain-http', '--to-registry-config', authfile, reference],
      ]),
    pull: (reference, target, session) =>
      run(session, (authfile) => [
        ...['cp', '--from-plain-http', '--from-registry-config', authfile, reference],
        ...['--to-oci-layout', `${target}:pulled`],
      ]),
    copy: (from, to, session) =>
      run(session, (authfile) => [
        ...['cp', '--from-plain-http', '--from-registry-config', authfile, from],
        ...['--to-plain-http', '--to-registry-config', authfile, to],
      ]),
    remove: (reference, session) =>
      run(session, (authfile) => [
        ...['manifest', 'delete', '--force', '--plain-http', '--registry-config', authfile, reference],
      ]),
  };
}

export function regctlCopier(regctl: string): Copier {
  const run = (session: Session, ...args: string[]) =>
    runAs(session, () => [regctl, [...args, '--host', `reg=${session.host},tls=disabled`]]);
  return {
    push: (image, reference, session) =>
      run(session, 'image', 'copy', `ocidir://${image.dir}:${image.tag}`, reference),
    pull: (reference, target, session) =>
      run(session, 'image', 'copy', reference, `ocidir://${target}:pulled`),
    copy: (from, to, session) => run(session, 'image', 'copy', from, to),
    remove: (reference, session) => run(session, 'manifest', 'delete', reference),
  };
}

type CommandLine = [command: string, args: string[]];

function loginBy(commandLine: (home: string, session: Parameters<Login>[0]) => CommandLine): Login {
  return async (session) => {
    const home = await newHome(session.dir);
    const [command, args] = commandLine(home, session);
    return runToEnd(command, args, { env: homeEnvironment(home), input: session.credentials.password });
  };
}

/**
 * Runs a client with its credentials in a docker configuration file, which all these clients read.
 */
async function runAs(
  { host, credentials, dir }: Session,
  commandLine: (files: { authfile: string }) => CommandLine,
): Promise<Outcome> {
  const home = await newHome(dir);
  const authfile = join(home, 'config.json');
  await writeFile(authfile, JSON.stringify({ auths: credentials ? { [host]: auth(credentials) } : {} }));
  const [command, args] = commandLine({ authfile });
  return runToEnd(command, args, { env: homeEnvironment(home) });
}

function auth({ username, password }: Credentials): { auth: string } {
  return { auth: Buffer.from(`${username}:${password}`).toString('base64') };
}

async function newHome(dir: string): Promise<string> {
  const home = join(dir, `home-${randomUUID()}`);
  await mkdir(home);
  return home;
}

/** A home folder, so that no client reads or writes the settings of the user who runs the tests. */
function homeEnvironment(home: string): Record<string, string> {
  return {
    HOME: home,
    DOCKER_CONFIG: home,
    XDG_RUNTIME_DIR: home,
    REGCTL_CONFIG: join(home, 'regctl.json'),
  };
}
