import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const TAG = 'made';

export interface Blob {
  readonly digest: string;
  readonly bytes: Buffer;
}

/** An image on disk, as an OCI image layout (image-spec 1.1) with one tag. */
export interface OciImage {
  readonly dir: string;
  readonly tag: string;
  readonly mediaType: string;
  readonly manifest: Blob;
  readonly config: Blob;
  readonly layers: readonly Blob[];
}

/**
 * Makes a new image of two small layers. All images differ, so no test finds another test's layer.
 */
export async function writeImage(dir: string): Promise<OciImage> {
  const files = ['base', 'app'].map((name) => tar(`${name}.txt`, `${name} ${randomUUID()}\n`));
  const layers = files.map((file) => blobOf(gzipSync(file)));
  const config = jsonBlob({
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: files.map((file) => blobOf(file).digest) },
  });
  const manifest = jsonBlob({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: descriptor('application/vnd.oci.image.config.v1+json', config),
    layers: layers.map((layer) => descriptor('application/vnd.oci.image.layer.v1.tar+gzip', layer)),
  });
  const image = { dir, tag: TAG, mediaType: MANIFEST_TYPE, manifest, config, layers };
  await writeLayout(image);
  return image;
}

/** The digest of the one manifest that a client pulled into a layout. */
export async function pulledDigest(dir: string): Promise<string | undefined> {
  const index: { manifests: { digest: string }[] } = JSON.parse(
    await readFile(join(dir, 'index.json'), 'utf8'),
  );
  return index.manifests[0]?.digest;
}

async function writeLayout(image: OciImage): Promise<void> {
  const blobs = join(image.dir, 'blobs', 'sha256');
  await mkdir(blobs, { recursive: true });
  const entry = {
    ...descriptor(image.mediaType, image.manifest),
    annotations: { 'org.opencontainers.image.ref.name': image.tag },
  };
  await writeFile(join(image.dir, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  await writeFile(join(image.dir, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
  for (const { digest, bytes } of [image.manifest, image.config, ...image.layers]) {
    await writeFile(join(blobs, digest.replace('sha256:', '')), bytes);
  }
}

function descriptor(mediaType: string, { digest, bytes }: Blob): object {
  return { mediaType, digest, size: bytes.length };
}

function jsonBlob(value: object): Blob {
  return blobOf(Buffer.from(JSON.stringify(value)));
}

function blobOf(bytes: Buffer): Blob {
  return { digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}`, bytes };
}

/** A tar archive (POSIX ustar) of one text file. */
function tar(name: string, text: string): Buffer {
  const content = Buffer.from(text);
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write('0000644\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write('        ', 148); // the checksum counts its own field as blanks
  header.write('0', 156);
  header.write('ustar\u000000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  const padding = Buffer.alloc((512 - (content.length % 512)) % 512);
  return Buffer.concat([header, content, padding, Buffer.alloc(1024)]);
}
