import { lowerCaseAscii } from '../../ascii.ts';
import type { Account, CredentialRecords, IdentityRecord } from '../../authn/account.ts';
import { firstMismatch } from '../../authn/federation/claims.ts';
import type { DirectorySource, IdTokenQuestion } from '../../authn/source.ts';
import type { ConfiguredIdentity } from '../../config/federation.ts';
import type { Sql } from '../database/drivers.ts';
import { readRevocations } from '../federation/revocations.ts';

/**
 * A source whose users are elsewhere, with the federated identities of the settings.
 * @param own cellpass's own database, which has the deny lists.
 */
export function withConfiguredIdentities<S extends DirectorySource>(
  source: S,
  own: Sql,
  identities: readonly ConfiguredIdentity[],
): S {
  const findAccount = async (name: string): Promise<CredentialRecords> => {
    const records = await source.find({ kind: 'user', name: lowerCaseAscii(name) });
    // GitLab's look-up also takes an e-mail address.
    const isNamed =
      records.account !== null && lowerCaseAscii(records.account.username) === lowerCaseAscii(name);
    return isNamed ? records : { ...records, account: null };
  };
  const recordsOf = async (
    found: readonly ConfiguredIdentity[],
    tokenKey: string | null,
  ): Promise<CredentialRecords> => {
    const names = found.map(({ name }) => name);
    const revocations = await readRevocations(own, names, tokenKey);
    // Several identities are refused, whatever their accounts are.
    const [only, ...others] = found;
    const records = only === undefined || others.length > 0 ? null : await findAccount(only.account);
    return {
      ...(records ?? NOTHING),
      account: null,
      idToken: {
        revoked: revocations.idToken,
        identities: found.map((one) =>
          toIdentityRecord(one, records?.account ?? null, revocations.identities.has(one.name)),
        ),
      },
    };
  };
  const matching = ({ issuer, claims }: IdTokenQuestion): readonly ConfiguredIdentity[] =>
    identities.filter((one) => one.issuer === issuer && firstMismatch(one.claims, claims) === null);
  return {
    ...source,
    async ask(question, paths) {
      if (question?.idToken === undefined) return source.ask(question, paths);
      const { idToken } = question;
      const credentials = await recordsOf(matching(idToken), idToken.tokenKey);
      return { credentials, facts: NO_FACTS, about: NOBODY };
    },
    async find(question) {
      if (question.kind !== 'identity') return source.find(question);
      return recordsOf(
        identities.filter(({ name }) => name === question.name),
        null,
      );
    },
  };
}

const NOTHING: CredentialRecords = {
  passwordAuthentication: false,
  job: null,
  accessToken: null,
  deployToken: null,
  account: null,
  dialect: 'gitlab',
};
/** Facts are asked for when it is known whom the ID token stands for. */
const NO_FACTS = { instance: { registryEnabled: false, maintenanceMode: true }, projects: [] };
const NOBODY = { userId: null, deployTokenId: null, jobProjectId: null };

/** The record of an identity of the settings. */
export function toIdentityRecord(
  { name, issuer, scopes, claims, expiresOn }: ConfiguredIdentity,
  account: Account | null,
  revoked: boolean,
): IdentityRecord {
  return { id: null, name, issuer, scopes, claims, expiresOn, revoked, account };
}
