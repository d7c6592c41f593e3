/** For commander: each use of an option adds to those before. */
export function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}
