import { isRecord } from './issues.ts';
import type { Path } from './yaml.ts';

/**
 * The keys that a schema of zod knows in the mapping at a place of its input, such as the fields of
 * one entry of a list; of a choice between several forms, those of all. Empty: it takes any key.
 */
export function knownKeysAt(schema: unknown, path: Path): readonly string[] {
  const [step, ...rest] = path;
  return formsOf(schema).flatMap((form) => {
    const { shape } = form;
    if (step === undefined) return isRecord(shape) ? Object.keys(shape) : [];
    const inner = isRecord(shape) ? shape[step] : innerOf(form);
    return inner === undefined ? [] : knownKeysAt(inner, rest);
  });
}

/** What a list or a mapping with any keys holds. */
function innerOf({ def }: Readonly<Record<string, unknown>>): unknown {
  return isRecord(def) ? (def['element'] ?? def['valueType']) : undefined;
}

/** Without what makes it optional, gives it a default or changes its output. */
function formsOf(schema: unknown): readonly Readonly<Record<string, unknown>>[] {
  if (!isRecord(schema)) return [];
  const { def } = schema;
  if (!isRecord(def)) return [];
  const { innerType, in: before, out: after, options } = def;
  if (Array.isArray(options)) return options.flatMap(formsOf);
  if (innerType !== undefined) return formsOf(innerType);
  if (before !== undefined || after !== undefined) return [...formsOf(before), ...formsOf(after)];
  return [schema];
}
