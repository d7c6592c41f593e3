import { isUtf8 } from 'node:buffer';

/** Says why the bytes of a file are no text that cellpass reads, and what to do; null: they are. */
export function notUtf8(bytes: Uint8Array): string | null {
  const [first, second] = bytes;
  const hasMark = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
  if (hasMark) return `is UTF-16: ${REMEDY}`;
  if (bytes.includes(0)) return `${NO_TEXT}: ${REMEDY}`;
  return isUtf8(bytes) ? null : `is not UTF-8, but in another encoding such as Latin-1: ${REMEDY}`;
}

/** The same of text that was bytes before. */
export function notText(text: string): string | null {
  return text.includes('\0') ? `${NO_TEXT}: ${REMEDY}` : null;
}

const NO_TEXT = 'is no text, but binary data or UTF-16';
const REMEDY = 'save it as text in UTF-8';
