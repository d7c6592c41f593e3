import type { components } from './schema.gen.ts';

type Schemas = components['schemas'];
export type TokenResponse = Schemas['TokenResponse'];
export type TokenExchangeResponse = Schemas['TokenExchangeResponse'];
export type ErrorsBody = Schemas['Errors'];
export type ProblemsBody = Schemas['Problems'];
export type ErrorBodyCode = Schemas['ErrorList'][number]['code'];
export type JobTokenInput = Schemas['JobToken'];
export type Health = Schemas['Health'];
export type WhoCan = Schemas['WhoCan'];
export type AllowedSubject = Schemas['AllowedSubject'];
export type WhatCan = Schemas['WhatCan'];
export type ExplainRequest = Schemas['ExplainRequest'];
export type Explanation = Schemas['Explanation'];
export type ExplainedSubject = Schemas['ExplainedSubject'];
export type ExplainedRefusal = Schemas['ExplainedRefusal'];
export type ExplainedScope = Schemas['ExplainedScope'];
export type ComparisonReportView = Schemas['ComparisonReport'];
export type ExplainedIdToken = Schemas['ExplainedIdToken'];
export type IssuerListView = Schemas['IssuerList'];
export type IdentityView = Schemas['Identity'];
export type IdentityPageView = Schemas['IdentityPage'];
export type IdentityRevocationView = Schemas['IdentityRevocation'];
export type IdTokenRevocationView = Schemas['IdTokenRevocation'];
export type RevokeIdTokenInput = Schemas['RevokeIdToken'];
export type ExplainedCell = Schemas['ExplainedCell'];
export type ExplainedComparison = Schemas['ExplainedComparison'];
export type KeyList = Schemas['KeyList'];
export type KeyHistory = Schemas['KeyHistory'];
export type ApplyResult = Schemas['ApplyResult'];
export type EntryChangeView = Schemas['EntryChange'];
export type SingleChangeInput = Schemas['SingleChange'];
export type HistoryEntryView = Schemas['HistoryEntry'];
export type HistoryPageView = Schemas['HistoryPage'];
export type KeyOutcome = Schemas['KeyOutcome'];
export type AdminTokenOrder = Schemas['AdminTokenOrder'];
export type AdminTokenBody = Schemas['AdminTokenFacts'];
export type ProbeResult = Schemas['ProbeResult'];
export type TokenOrderInput = Schemas['TokenOrder'];
export type TokenView = Schemas['Token'];
export type MintedTokenView = Schemas['MintedToken'];
export type SecretToIdentify = Schemas['SecretToIdentify'];
export type WhoseSecretView = Schemas['WhoseSecret'];
export type TokenPage = Schemas['TokenPage'];
export type LockoutView = Schemas['Lockout'];
export type LockoutPageView = Schemas['LockoutPage'];
export type ClearLockoutsInput = Schemas['ClearLockouts'];
export type ClearedLockoutsView = Schemas['ClearedLockouts'];
export type RefusalView = Schemas['Refusal'];
export type RefusalPageView = Schemas['RefusalPage'];
export type IssuedTokenView = Schemas['IssuedToken'];
export type IssuedTokenPageView = Schemas['IssuedTokenPage'];
/** The request bodies of the endpoints for keys and CAs. */
export type KeyInputs = Pick<
  Schemas,
  | 'ActivateKey'
  | 'RotateKeys'
  | 'RetireKey'
  | 'RevokeKey'
  | 'ImportKey'
  | 'ImportAuthority'
  | 'ActivateAuthority'
>;
