/**
 * Lowers only A to Z: Unicode lower case would turn look-alikes, such as the Kelvin sign, into
 * letters.
 */
export function lowerCaseAscii(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
