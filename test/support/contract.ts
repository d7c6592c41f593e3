import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { RequestListener, ServerResponse } from 'node:http';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { parse } from 'yaml';

/** One request and its answer, in the terms of the OpenAPI document. */
export interface Exchange {
  readonly method: string;
  /** The path without the query. */
  readonly path: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

interface ResponseObject {
  readonly headers?: Record<string, { readonly required?: boolean; readonly schema: object }>;
  readonly content?: Record<string, unknown>;
}

interface Document {
  readonly paths: Record<
    string,
    Record<string, { readonly responses?: Record<string, { readonly $ref?: string }> }>
  >;
  readonly components: { readonly responses: Record<string, ResponseObject> };
}

export const CONTRACT: Document = parse(
  readFileSync(new URL('../../openapi/openapi.yaml', import.meta.url), 'utf8'),
);

const ajv = new Ajv2020({ allErrors: true, strict: false });
formats.default(ajv);
ajv.addSchema({ $id: 'contract', ...CONTRACT });

const violations: string[] = [];

/**
 * Wraps an app so that every answer is checked against the OpenAPI document; `assertContractKept`
 * reports violations.
 */
export function watched(listener: RequestListener): RequestListener {
  return (request, response) => {
    const path = normalPath(request.url ?? '/');
    capture(response, (body) => {
      const headers = response.getHeaders();
      const exchange = { method: request.method ?? '', path, status: response.statusCode, headers, body };
      violations.push(...violationsOf(exchange));
    });
    listener(request, response);
  };
}

/**
 * Fails if an answer since the last call broke the contract; the root hooks call this after each
 * test.
 */
export function assertContractKept(): void {
  assert.deepEqual(violations.splice(0), []);
}

function capture(response: ServerResponse, done: (body: string) => void): void {
  const chunks: Buffer[] = [];
  const keep = (chunk: unknown): void => {
    if (typeof chunk === 'string' || chunk instanceof Uint8Array) chunks.push(Buffer.from(chunk as string));
  };
  const { write, end } = response;
  response.write = ((chunk: unknown, ...rest: unknown[]) => {
    keep(chunk);
    return (write as (...args: unknown[]) => boolean).call(response, chunk, ...rest);
  }) as typeof write;
  response.end = ((chunk: unknown, ...rest: unknown[]) => {
    keep(chunk);
    return (end as (...args: unknown[]) => ServerResponse).call(response, chunk, ...rest);
  }) as typeof end;
  response.on('finish', () => done(Buffer.concat(chunks).toString('utf8')));
}

export function violationsOf({ method, path, status, headers, body }: Exchange): readonly string[] {
  const route = Object.keys(CONTRACT.paths).find((template) => matches(template, path));
  const operation = route === undefined ? undefined : CONTRACT.paths[route]?.[verbOf(method)];
  // Rails' own, whose form is not this server's.
  if (headers['cellpass-answered-by'] === 'rails') return [];
  const name = `${method} ${route ?? path} ${status}`;
  const declared = operation?.responses?.[String(status)];
  if (declared === undefined) {
    // Errors for unknown routes, unauthenticated requests and targets that are no path are not in
    // the document, but they must have the body of every other error.
    const isNoPath = status === 400 && !path.startsWith('/');
    if (isNoPath || status === 401 || status === 404 || status === 405)
      return method === 'HEAD' ? [] : checkBody(name, errorsSchema(), body);
    return [
      `${name}: ${operation === undefined ? 'not in the contract' : 'this status is not in the contract'}`,
    ];
  }
  const response = resolve(declared);
  return [
    ...checkHeaders(name, response, headers),
    ...checkContent(name, response, headers, method === 'HEAD' ? null : body),
  ];
}

/**
 * Without host and query, and without doubled and trailing slashes, which do not change a path.
 */
function normalPath(url: string): string {
  const target = URL.canParse(url) && /^https?:/i.test(url) ? new URL(url).pathname : url;
  const [path = '/'] = target.split('?');
  return path.replaceAll(/\/+/g, '/').replace(/(.)\/$/, '$1');
}

function matches(template: string, path: string): boolean {
  const pattern = template
    .split('/')
    .map((part) => (part.startsWith('{') ? '[^/]+' : part.replaceAll('.', '\\.')));
  return new RegExp(`^${pattern.join('/')}$`).test(path);
}

function verbOf(method: string): string {
  return method === 'HEAD' ? 'get' : method.toLowerCase();
}

function resolve(declared: { readonly $ref?: string } & ResponseObject): ResponseObject {
  if (declared.$ref === undefined) return declared;
  const response = CONTRACT.components.responses[declared.$ref.split('/').at(-1) ?? ''];
  assert.ok(response, `${declared.$ref} is not in the contract`);
  return response;
}

function checkHeaders(
  name: string,
  response: ResponseObject,
  headers: Exchange['headers'],
): readonly string[] {
  return Object.entries(response.headers ?? {}).flatMap(([header, { required, schema }]) => {
    const value = headers[header.toLowerCase()];
    if (value === undefined) return required === true ? [`${name}: no header ${header}`] : [];
    return ajv.validate(schema, String(value)) ? [] : [`${name}: header ${header}: ${ajv.errorsText()}`];
  });
}

function checkContent(
  name: string,
  response: ResponseObject,
  headers: Exchange['headers'],
  body: string | null,
): readonly string[] {
  const type = String(headers['content-type'] ?? '').split(';')[0] ?? '';
  if (response.content === undefined)
    return type === '' && (body ?? '') === '' ? [] : [`${name}: has a body`];
  if (!(type in response.content)) return [`${name}: content type ${type}`];
  if (type !== 'application/json' || body === null) return [];
  return checkBody(name, bodySchema(name, response), body);
}

const compiled = new Map<string, ValidateFunction>();

function bodySchema(name: string, response: ResponseObject): ValidateFunction {
  const known = compiled.get(name);
  if (known !== undefined) return known;
  const { schema } = (response.content?.['application/json'] ?? {}) as {
    readonly schema: { readonly $ref?: string };
  };
  const absolute = schema.$ref === undefined ? schema : { $ref: `contract${schema.$ref}` };
  const validate = ajv.compile(absolute);
  compiled.set(name, validate);
  return validate;
}

function errorsSchema(): ValidateFunction {
  return ajv.compile({ $ref: 'contract#/components/schemas/Errors' });
}

function checkBody(name: string, validate: ValidateFunction, body: string): readonly string[] {
  const value: unknown = body === '' ? undefined : JSON.parse(body);
  return validate(value) ? [] : [`${name}: ${ajv.errorsText(validate.errors)} in ${body}`];
}
