/** For commander: each use of an option adds to those before. */
export function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}

/** Several words in one value, separated by commas or white space. */
export function toWords(text: string): string[] {
  return text.split(/[\s,]+/).filter((word) => word !== '');
}
