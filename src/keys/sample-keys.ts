import { CellpassError } from '../errors.ts';

/**
 * RSA keys whose private halves are public: RFC 7638 thumbprint → where the key is published. The
 * thumbprints were computed from the public halves in these places.
 */
const SAMPLE_KEYS: ReadonlyMap<string, string> = new Map([
  ['NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs', 'RFC 7517 appendix A.2 and RFC 7638'],
  ['IsUn6_e04MaShXFIISMp4kG62LWzMIPy_MvSA5pJgX8', 'RFC 7515 appendix A.2'],
  ['oGDmHqCJ7yzMkWEkrlZVHkvrHIyQwtlDmeq5ForUHeY', "jwt.io's example for RS256"],
  ['DrvVs-cP2T0DbE-3xTFdJxmZzoPvDnL3W8-sNEPDjtI', "Harbor's repository, Deploy/config/registry/root.crt"],
  [
    'Hj2kB_EIUCv_RkD1e7rM7db4LN9SMIMUPLMHBabm-nc',
    "Portus' repository, examples/development/compose/registry.crt",
  ],
]);

/** Throws `conflict` if the private half of the key is public. */
export function refuseSampleKey(thumbprint: string): void {
  const source = SAMPLE_KEYS.get(thumbprint);
  if (source === undefined) return;
  throw new CellpassError(
    'conflict',
    `the key ${thumbprint} is published as an example (${source}), so anybody can sign with it: use another key, and remove this one from the trust of every registry`,
  );
}
