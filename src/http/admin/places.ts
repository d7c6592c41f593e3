import { timestamp } from '../../directory/document/fields.ts';
import { CellpassError } from '../../errors.ts';
import { isUuid } from '../../store/records/uuid-prefix.ts';

/** The place of a record about a request, in a list that begins with the latest. */
export interface RecordPlace {
  readonly at: Date;
  readonly requestId: string;
}

/** `2027-01-31T12:00:00.000Z_5f0c3b1e-2f0c-4f0e-9d52-0a8f5a3c6a11` */
export function printPlace({ at, requestId }: RecordPlace): string {
  return `${at.toISOString()}_${requestId}`;
}

/** @throws {CellpassError} `invalid` for what is no place. */
export function readPlace(text: string): RecordPlace {
  const [moment = '', requestId = ''] = text.split('_');
  const at = toDate(moment);
  if (at !== undefined && isUuid(requestId)) return { at, requestId };
  throw new CellpassError('invalid', 'after must be the "next" of a page');
}

/** A bare date is its first moment, UTC. Undefined for no text, and for text that is no moment. */
export function toDate(text: string | undefined): Date | undefined {
  const { data } = timestamp.safeParse(text);
  return typeof data === 'string' ? new Date(data) : undefined;
}
