import type { Ajv2020 } from 'ajv/dist/2020.js';
import { z } from 'zod';
import { ADMIN_ROLES, type AdminRole } from '../authn/admin-role.ts';
import type { ErrorCode, Problem } from '../errors.ts';
import { toProblem, violation } from './contract-problems.ts';
import type { operations } from './schema.gen.ts';

export type OperationId = keyof operations;

/** The parameters of an operation in the query and in the path, as their schemas say. */
export type ParametersOf<Id extends OperationId> = Pick<operations[Id]['parameters'], 'query' | 'path'>;

/**
 * The parameters of a request as they came: each value is text, and a list where it was given more
 * than once.
 */
export interface GivenParameters {
  readonly query: Readonly<Record<string, unknown>>;
  /** The parameters in the path; the router sets them. */
  readonly params?: Readonly<Record<string, unknown>>;
}

/** The parameters that the document declares for one operation. */
export interface OperationParameters {
  readonly id: string;
  readonly method: string;
  /** Matches the paths of the operation. */
  readonly path: RegExp;
  readonly parameters: readonly Parameter[];
  /** Of an admin, who may use it. */
  readonly role: AdminRole;
}

interface Parameter {
  readonly name: string;
  readonly in: 'query' | 'path';
  readonly required: boolean;
  readonly type: unknown;
  /** Where the document has its schema: a JSON pointer (RFC 6901). */
  readonly pointer: string;
}

const METHODS = ['get', 'post', 'put', 'delete'] as const;
const parameterObject = z.object({
  name: z.string(),
  in: z.string(),
  required: z.boolean().default(false),
  schema: z.object({ type: z.unknown().optional() }),
});
/** Headers are shared by reference, and no header is checked here. */
const parameterList = z.array(z.union([parameterObject, z.object({ $ref: z.string() })])).default([]);
const operationObject = z.object({
  operationId: z.string(),
  parameters: parameterList,
  'x-admin-role': z.enum(ADMIN_ROLES).optional(),
});
const pathsObject = z.object({
  paths: z.record(z.string(), z.looseObject({ parameters: parameterList })),
});

/** Reads every operation of an OpenAPI document. */
export function readOperations(document: object): readonly OperationParameters[] {
  return Object.entries(pathsObject.parse(document).paths).flatMap(([template, item]) =>
    METHODS.flatMap((method) => {
      if (item[method] === undefined) return [];
      const operation = operationObject.parse(item[method]);
      const place = `/paths/${template.replaceAll('~', '~0').replaceAll('/', '~1')}`;
      const parameters = [
        ...readParameters(item.parameters, `${place}/parameters`),
        ...readParameters(operation.parameters, `${place}/${method}/parameters`),
      ];
      // What only looks needs no word in the document; what changes something and has none is closed.
      const { operationId: id, 'x-admin-role': role = method === 'get' ? 'read' : 'all' } = operation;
      return [{ id, method, path: toPattern(template), parameters, role }];
    }),
  );
}

function readParameters(list: z.output<typeof parameterList>, place: string): readonly Parameter[] {
  return list.flatMap((entry, at) => {
    if (!('name' in entry) || (entry.in !== 'query' && entry.in !== 'path')) return [];
    const { name, required, schema } = entry;
    return [{ name, in: entry.in, required, type: schema.type, pointer: `${place}/${at}/schema` }];
  });
}

function toPattern(template: string): RegExp {
  return new RegExp(`^${template.replaceAll('.', '\\.').replaceAll(/\{[^}]+\}/g, '[^/]+')}$`);
}

/**
 * Makes the function that checks the parameters of an operation and gives them their types.
 * @param ifWrong the code of its error.
 */
export function parameterParser<Id extends OperationId>(
  ajv: Ajv2020,
  { parameters }: OperationParameters,
  ifWrong: ErrorCode,
): (given: GivenParameters) => ParametersOf<Id> {
  const validate = ajv.compile<ParametersOf<Id>>({
    type: 'object',
    properties: { query: schemaOf(parameters, 'query'), path: schemaOf(parameters, 'path') },
  });
  return ({ query, params = {} }) => {
    const repeated = parameters.filter(({ name }) => Array.isArray(query[name]));
    if (repeated.length > 0) {
      throw violation(
        ifWrong,
        repeated.map(({ name }) => ({ path: name, message: 'must be given once' })),
      );
    }
    const values: unknown = {
      query: valuesOf(parameters, 'query', query),
      path: valuesOf(parameters, 'path', params),
    };
    if (validate(values)) return values;
    throw violation(ifWrong, (validate.errors ?? []).map(toProblem).map(withoutPlace));
  };
}

function schemaOf(parameters: readonly Parameter[], place: Parameter['in']): object {
  const own = parameters.filter((parameter) => parameter.in === place);
  return {
    type: 'object',
    properties: Object.fromEntries(own.map(({ name, pointer }) => [name, { $ref: `contract#${pointer}` }])),
    required: own.filter(({ required }) => required).map(({ name }) => name),
  };
}

function valuesOf(
  parameters: readonly Parameter[],
  place: Parameter['in'],
  given: Readonly<Record<string, unknown>>,
): object {
  const own = parameters.filter((parameter) => parameter.in === place && given[parameter.name] !== undefined);
  return Object.fromEntries(own.map(({ name, type }) => [name, toTyped(given[name], type)]));
}

const INTEGER = /^(0|[1-9][0-9]*)$/;

/** Text that doesn't have the type stays text, which the schema then refuses. */
function toTyped(value: unknown, type: unknown): unknown {
  if (typeof value !== 'string') return value;
  if (type === 'integer' && INTEGER.test(value)) return Number(value);
  if (type === 'boolean' && (value === 'true' || value === 'false')) return value === 'true';
  return value;
}

/** `query.limit` is `limit` to a client. */
function withoutPlace({ path, message }: Problem): Problem {
  return { path: path.replace(/^(query|path)\.?/, ''), message };
}
