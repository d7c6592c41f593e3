import { readFileSync } from 'node:fs';
import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { parse } from 'yaml';
import { dateTime } from '../directory/document/fields.ts';
import { CellpassError, type Problem } from '../errors.ts';
import type { AdminTokenOrder, ExplainRequest, JobTokenInput, KeyInputs, TokenOrderInput } from './types.ts';

/** The OpenAPI document at run time, with its schemas as parsers of request bodies. */
export interface Contract {
  readonly document: object;
  /** This and the other parsers: @throws {CellpassError} `invalid`, with every problem. */
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
}

/** Reads `openapi/openapi.yaml`. The package ships it beside `src` and `dist`. */
export function loadContract(): Contract {
  const document: object = parse(
    readFileSync(new URL('../../openapi/openapi.yaml', import.meta.url), 'utf8'),
  );
  const ajv = new Ajv2020({ allErrors: true, strict: false });
  formats.default(ajv);
  // The directory document's check: the library's own one accepts times that no Date can hold.
  ajv.addFormat('date-time', (text) => dateTime.safeParse(text).success);
  ajv.addSchema({ $id: 'contract', ...document });
  return {
    document,
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
  };
}

function parserFor<T>(ajv: Ajv2020, name: string): (value: unknown) => T {
  const validate = ajv.compile<T>({ $ref: `contract#/components/schemas/${name}` });
  return (value) => {
    if (validate(value)) return value;
    const problems = (validate.errors ?? []).map(toProblem);
    const message = problems.map((problem) => `${problem.path} ${problem.message}`.trim()).join('; ');
    throw new CellpassError('invalid', message, { problems });
  };
}

function toProblem({ instancePath, message, params }: ErrorObject): Problem {
  const extra = 'additionalProperty' in params ? `: ${String(params['additionalProperty'])}` : '';
  return { path: instancePath.slice(1).replaceAll('/', '.'), message: `${message ?? 'is wrong'}${extra}` };
}
