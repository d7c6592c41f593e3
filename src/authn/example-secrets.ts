import { createHash } from 'node:crypto';

/**
 * The SHA-256 digests of every password and token in `examples/`, which everybody can read: they
 * are for trials on one machine. A test compares them with the files.
 */
export const EXAMPLE_SECRETS: ReadonlySet<string> = new Set([
  'e986c30f3592bff46518be1344f90cc8cedaf87edf642b56a1b9605e8dc644ef',
  '4104d36f8da2c254349f85836793ebe029e0c957063a34c91c2e9203187b5631',
  '11e2b7895e7b3dca8df8d0cf965fde793b82cd39242774277ca90d72d09bfd59',
  '5b8ed9d1a8a2a154865d537ed3dd72302aada8b98cb01a9ebaf6bb4ec1fa0a8d',
  '3f39a565dae66867361108c16311c36013c7dae47c1631ab0fa5fce4ecdbf643',
  '25369c34d19ad3863afbd49f2b5c1d7ba8b2bb0e49f28c4dedca4133b723b100',
  '74d333ec7bbf8662bcb9208df768fd53bb396b80a82f382c8715a882939d5f52',
  'a37562dbdc7396808293cbc1f9f0cdf43a763c82ec73c149f643c79ceb60eea9',
  '0239e1023072f95ddf1cd647fdbfd4df090e094197bdabc9113701cfa4ccbec2',
  'c69b043000c95745e931008d3ae8a6f5a4c587300f4e35304a81e6fe4332e0a6',
  '4119a16f0796cb3624017dc055039eade214ab9190cba7040d5d2798abed1223',
  'b333663fc597f667d49eedc0baf2dad2a5ea84c0bac475f5c9565c45b70b0e67',
  'fb937397e9e65564bbf132927c0cfd84e00946f991a7424cb7ae5bc718716b3d',
  '117a39dd10d39974c366b45c1f1d07d0bbc0c82f30826d148b909327ab8f4165',
  '24f5362ec95d386a5b0ba4b48380399889c614dee62492449a4e699ab7cfbbbe',
  '1651cf81c4fbf621d0e057bc7303f27bd859a921ee4bd9e06611edea4de0c879',
  '2fe131a4690a6fd774cb744cf804905a0a30573697a1a425b6b4bcc1a0c4f898',
]);

export function isExampleSecret(secret: string): boolean {
  return EXAMPLE_SECRETS.has(createHash('sha256').update(secret).digest('hex'));
}
