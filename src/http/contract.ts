import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parse } from 'yaml';
import type { AdminRole } from '../authn/admin-role.ts';
import type { SingleChange } from '../directory/single/single-change.ts';
import type { ErrorCode } from '../errors.ts';
import {
  type GivenParameters,
  type OperationId,
  type ParametersOf,
  parameterParser,
  readOperations,
} from './contract-parameters.ts';
import { addFormats, toProblem, violation } from './contract-problems.ts';
import type {
  AdminTokenOrder,
  ClearLockoutsInput,
  ExplainRequest,
  JobTokenInput,
  KeyInputs,
  RevokeIdTokenInput,
  SecretToIdentify,
  TokenOrderInput,
} from './types.ts';

/** The contract at run time: the OpenAPI document, and its schemas as checks of input. */
export interface Contract {
  readonly document: object;
  /**
   * The names of the query parameters that the document declares for a request.
   * @param method in lower case.
   * @returns undefined where the document has no such operation.
   */
  queryNames(method: string, path: string): ReadonlySet<string> | undefined;
  /** Which role of an admin an operation needs; undefined where there is no such operation. */
  roleOf(method: string, path: string): AdminRole | undefined;
  /**
   * Makes the function that checks the parameters of an operation and gives them their types.
   * @param ifWrong the code of the error that the function throws, with every problem; the default
   * is `invalid`.
   */
  parametersOf<Id extends OperationId>(
    id: Id,
    ifWrong?: ErrorCode,
  ): (given: GivenParameters) => ParametersOf<Id>;
  /** Like the other checks of bodies: throws `invalid`, with every problem. */
  parseJobToken(value: unknown): JobTokenInput;
  parseTokenOrder(value: unknown): TokenOrderInput;
  parseExplainRequest(value: unknown): ExplainRequest;
  parseActivateKey(value: unknown): KeyInputs['ActivateKey'];
  parseRotateKeys(value: unknown): KeyInputs['RotateKeys'];
  parseRetireKey(value: unknown): KeyInputs['RetireKey'];
  parseRevokeKey(value: unknown): KeyInputs['RevokeKey'];
  parseImportKey(value: unknown): KeyInputs['ImportKey'];
  parseImportAuthority(value: unknown): KeyInputs['ImportAuthority'];
  parseActivateAuthority(value: unknown): KeyInputs['ActivateAuthority'];
  parseAdminTokenOrder(value: unknown): AdminTokenOrder;
  parseRevokeIdToken(value: unknown): RevokeIdTokenInput;
  parseSingleChange(value: unknown): SingleChange;
  parseClearLockouts(value: unknown): ClearLockoutsInput;
  parseSecretToIdentify(value: unknown): SecretToIdentify;
}

/** Reads `openapi/openapi.yaml`. The package ships it beside `src` and `dist`. */
export function loadContract(): Contract {
  const document: object = parse(
    readFileSync(new URL('../../openapi/openapi.yaml', import.meta.url), 'utf8'),
  );
  const ajv = new Ajv2020({ allErrors: true, strict: false });
  addFormats(ajv);
  ajv.addSchema({ $id: 'contract', ...document });
  const operations = readOperations(document);
  return {
    document,
    queryNames(method, path) {
      const operation = operations.find((known) => known.method === method && known.path.test(path));
      return operation && new Set(operation.parameters.filter(isInQuery).map(({ name }) => name));
    },
    roleOf: (method, path) =>
      operations.find((known) => known.method === method && known.path.test(path))?.role,
    parametersOf<Id extends OperationId>(id: Id, ifWrong: ErrorCode = 'invalid') {
      const operation = operations.find((known) => known.id === id);
      if (operation === undefined) throw new Error(`openapi.yaml has no operation ${id}`);
      return parameterParser<Id>(ajv, operation, ifWrong);
    },
    parseJobToken: parserFor<JobTokenInput>(ajv, 'JobToken'),
    parseTokenOrder: parserFor<TokenOrderInput>(ajv, 'TokenOrder'),
    parseExplainRequest: parserFor<ExplainRequest>(ajv, 'ExplainRequest'),
    parseActivateKey: parserFor<KeyInputs['ActivateKey']>(ajv, 'ActivateKey'),
    parseRotateKeys: parserFor<KeyInputs['RotateKeys']>(ajv, 'RotateKeys'),
    parseRetireKey: parserFor<KeyInputs['RetireKey']>(ajv, 'RetireKey'),
    parseRevokeKey: parserFor<KeyInputs['RevokeKey']>(ajv, 'RevokeKey'),
    parseImportKey: parserFor<KeyInputs['ImportKey']>(ajv, 'ImportKey'),
    parseImportAuthority: parserFor<KeyInputs['ImportAuthority']>(ajv, 'ImportAuthority'),
    parseActivateAuthority: parserFor<KeyInputs['ActivateAuthority']>(ajv, 'ActivateAuthority'),
    parseAdminTokenOrder: parserFor<AdminTokenOrder>(ajv, 'AdminTokenOrder'),
    parseRevokeIdToken: parserFor<RevokeIdTokenInput>(ajv, 'RevokeIdToken'),
    parseSingleChange: parserFor<SingleChange>(ajv, 'SingleChange'),
    parseSecretToIdentify: parserFor<SecretToIdentify>(ajv, 'SecretToIdentify'),
    parseClearLockouts: parserFor<ClearLockoutsInput>(ajv, 'ClearLockouts'),
  };
}

function parserFor<T>(ajv: Ajv2020, name: string): (value: unknown) => T {
  const validate = ajv.compile<T>({ $ref: `contract#/components/schemas/${name}` });
  return (value) => {
    if (validate(value)) return value;
    throw violation('invalid', (validate.errors ?? []).map(toProblem));
  };
}

function isInQuery(parameter: { readonly in: string }): boolean {
  return parameter.in === 'query';
}
