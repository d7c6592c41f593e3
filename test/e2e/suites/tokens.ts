import assert from 'node:assert/strict';
import { type Bench, ELSEWHERE } from '../../support/e2e/bench.ts';
import { type Credentials, PRIVATE, PROTECTED, SOURCE } from '../../support/e2e/directory.ts';
import type { OciImage } from '../../support/e2e/oci-image.ts';
import type { Registry } from '../../support/e2e/registry.ts';
import { accessIn, fetchToken, RegistryApi } from '../../support/e2e/registry-api.ts';

/** How a registry must treat cellpass's tokens, tested over HTTP without a client. */
export function describeTokens(bench: () => Bench, registry: () => Registry): void {
  const token = (credentials: Credentials, ...scopes: string[]) =>
    fetchToken({ realm: bench().cellpass.realm, service: registry().service, scopes, credentials });
  const api = (bearer: string) => new RegistryApi(registry().host, bearer);
  /** Uploads a new image as the maintainer. */
  const uploaded = async (name: string): Promise<OciImage> => {
    const image = await bench().newImage();
    const bearer = await token(bench().people.maintainer, `repository:${name}:push,pull`);
    await api(bearer).upload(name, image);
    return image;
  };

  it('accepts a token that grants nothing where none is needed', async () => {
    assert.equal((await api(await token(bench().people.guest)).ping()).status, 200);
  });

  it('refuses a token of one repository at another', async () => {
    const [one, other] = [`${PRIVATE}/one`, `${PRIVATE}/other`];
    const [image, otherImage] = [await uploaded(one), await uploaded(other)];
    const bearer = await token(bench().people.developer, `repository:${one}:pull`);
    assert.equal((await api(bearer).manifest(one, image)).status, 200);
    assert.equal((await api(bearer).manifest(other, otherImage)).status, 401);
  });

  it('is given no token for a push to a protected repository, but the reason', async () => {
    const asked = token(bench().people.maintainer, `repository:${PROTECTED}:push,pull`);
    await assert.rejects(asked, /Pushing to protected repository path forbidden/);
  });

  it('refuses a token for another service', async () => {
    const name = `${PRIVATE}/elsewhere`;
    const image = await uploaded(name);
    const bearer = await fetchToken({
      realm: bench().cellpass.realm,
      service: ELSEWHERE,
      scopes: [`repository:${name}:pull`],
      credentials: bench().people.developer,
    });
    assert.deepEqual(accessIn(bearer), [`${name}:pull`]);
    assert.equal((await api(bearer).manifest(name, image)).status, 401);
  });

  it('security check 29: refuses a token of another cell, though everything but its keys is alike', async () => {
    const name = `${PRIVATE}/celled`;
    const image = await uploaded(name);
    const { realm } = bench().otherCell;
    const { service } = registry();
    const scopes = [`repository:${name}:pull`];
    const bearer = await fetchToken({ realm, service, scopes, credentials: bench().people.developer });
    assert.deepEqual(accessIn(bearer), [`${name}:pull`]);
    assert.equal((await api(bearer).ping()).status, 401);
    assert.equal((await api(bearer).manifest(name, image)).status, 401);
  });

  it('mounts a blob of another repository with one token for both', async () => {
    const [from, to] = [`${SOURCE}/mount`, `${PRIVATE}/mounted`];
    const { digest } = (await uploaded(from)).layers[0]!;
    const scopes = [`repository:${to}:pull,push`, `repository:${from}:pull`];
    const bearer = await token(bench().people.developer, ...scopes);
    assert.deepEqual(accessIn(bearer), [`${to}:pull,push`, `${from}:pull`]);
    assert.equal((await api(bearer).hasBlob(to, digest)).status, 404);
    assert.equal((await api(bearer).mount(to, digest, from)).status, 201);
    assert.equal((await api(bearer).hasBlob(to, digest)).status, 200);
  });

  it('mounts nothing from where the subject may not pull', async () => {
    const [from, to] = [`${SOURCE}/hidden`, `${PRIVATE}/unmounted`];
    const { digest } = (await uploaded(from)).layers[0]!;
    const scopes = [`repository:${to}:pull,push`, `repository:${from}:pull`];
    const bearer = await token(bench().people.deployer, ...scopes);
    assert.deepEqual(accessIn(bearer), [`${to}:pull,push`]);
    assert.equal((await api(bearer).mount(to, digest, from)).status, 401);
    assert.equal((await api(bearer).hasBlob(to, digest)).status, 404);
  });
}
