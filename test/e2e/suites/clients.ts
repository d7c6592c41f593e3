import type { Bench } from '../../support/e2e/bench.ts';
import {
  craneCopier,
  dockerLogin,
  helmLogin,
  orasCopier,
  orasLogin,
  regctlCopier,
  regctlLogin,
  skopeoCopier,
  skopeoLogin,
} from '../../support/e2e/clients.ts';
import type { Registry } from '../../support/e2e/registry.ts';
import { debianTool, goTool } from '../../support/e2e/tools.ts';
import { describeCopying } from './copying.ts';
import { describeLogin } from './logins.ts';

const docker = () => debianTool('docker');
const skopeo = () => debianTool('skopeo');
const podman = () => debianTool('podman');
const buildah = () => debianTool('buildah');
const crane = () => goTool('crane');
const oras = () => goTool('oras');
const helm = () => goTool('helm');
const regctl = () => goTool('regctl');

/** docker without a daemon can only log in. */
export function describeDebianClients(bench: () => Bench, registry: () => Registry): void {
  describeLogin({ client: 'docker', find: docker, login: dockerLogin }, bench, registry);
  describeLogin({ client: 'skopeo', find: skopeo, login: skopeoLogin }, bench, registry);
  describeLogin({ client: 'podman', find: podman, login: skopeoLogin }, bench, registry);
  describeLogin({ client: 'buildah', find: buildah, login: skopeoLogin }, bench, registry);
  describeCopying({ client: 'skopeo', find: skopeo, copier: skopeoCopier }, bench, registry);
}

/** crane stores the secret without checking it, so its login needs no test. */
export function describeGoClients(bench: () => Bench, registry: () => Registry): void {
  describeLogin({ client: 'helm', find: helm, login: helmLogin }, bench, registry);
  describeLogin({ client: 'oras', find: oras, login: orasLogin }, bench, registry);
  describeLogin({ client: 'regctl', find: regctl, login: regctlLogin }, bench, registry);
  describeCopying({ client: 'crane', find: crane, copier: craneCopier, showsMessage: true }, bench, registry);
  describeCopying({ client: 'oras', find: oras, copier: orasCopier, showsMessage: true }, bench, registry);
  describeCopying({ client: 'regctl', find: regctl, copier: regctlCopier }, bench, registry);
}

/**
 * One client for logins and one that moves images: enough where only the registry's trust differs.
 */
export function describeQuickClients(bench: () => Bench, registry: () => Registry): void {
  describeLogin({ client: 'docker', find: docker, login: dockerLogin }, bench, registry);
  describeCopying({ client: 'crane', find: crane, copier: craneCopier, showsMessage: true }, bench, registry);
}
