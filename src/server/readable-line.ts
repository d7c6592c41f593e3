import { escapeUnprintable } from '../printable.ts';

/** The fields of a pino line that every line has, or that are printed in a form of their own. */
const OWN_FORM: ReadonlySet<string> = new Set(['level', 'time', 'msg', 'err', 'registry_configuration']);
/** What one request's line shows, in this order; the JSON line has more. */
const REQUEST_FIELDS = ['subject', 'client', 'asked', 'granted', 'refused', 'reason', 'request_id', 'worker'];
const LEVELS: Readonly<Record<number, string>> = { 20: 'debug', 30: 'info', 40: 'warn', 50: 'error' };
const LEVEL_WIDTH = 5;

/**
 * One line of the JSON log for a person at a terminal: time (UTC), level, message, and the fields
 * that matter. Parts of it come from clients, so control characters are escaped: none of them can
 * move the cursor or start a line.
 * @param json one line as pino writes it. A line that is not JSON comes back escaped.
 */
export function readableLine(json: string): string {
  const fields = parse(json);
  if (fields === undefined) return `${escapeUnprintable(json.trimEnd())}\n`;
  const { level, time, msg, err } = fields;
  const clock = String(time).slice('2026-11-24T'.length, '2026-11-24T12:34:56'.length);
  const text = msg === 'request' && 'method' in fields ? request(fields) : message(String(msg), fields);
  const name = LEVELS[Number(level)] ?? String(level);
  return `${clock}Z ${name.padEnd(LEVEL_WIDTH)} ${text}${failure(err, name)}\n`;
}

type Fields = Readonly<Record<string, unknown>>;

function parse(json: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null
      ? Object.fromEntries(Object.entries(value))
      : undefined;
  } catch {
    return undefined;
  }
}

function message(text: string, fields: Fields): string {
  const names = Object.keys(fields).filter((name) => !OWN_FORM.has(name));
  return [escapeUnprintable(text), ...pairs(fields, names)].join('  ');
}

function request(fields: Fields): string {
  const { method, path, status, duration_ms: duration } = fields;
  const head = `${print(method)} ${print(path)} ${print(status)} in ${Math.round(Number(duration))} ms`;
  // Only a refusal can be looked up by its id.
  const isRefused = Number(status) >= 400 || 'refused' in fields;
  const names = REQUEST_FIELDS.filter((name) => name in fields && (name !== 'request_id' || isRefused));
  return [head, ...pairs(fields, names)].join('  ');
}

function pairs(fields: Fields, names: readonly string[]): readonly string[] {
  return names.map((name) => `${name}=${print(fields[name])}`);
}

function print(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'nothing' : value.map(print).join(' ');
  if (typeof value === 'string') return value === '' ? '""' : escapeUnprintable(value);
  return escapeUnprintable(JSON.stringify(value) ?? 'undefined');
}

/** The message of an error, and below an error line the stack. */
function failure(err: unknown, level: string): string {
  if (typeof err !== 'object' || err === null) return '';
  const text = 'message' in err ? `: ${escapeUnprintable(String(err.message))}` : '';
  if (level !== 'error' || !('stack' in err)) return text;
  const frames = String(err.stack)
    .split('\n')
    .filter((line) => /^\s+at /.test(line));
  return [text, ...frames.map(escapeUnprintable)].join('\n');
}
