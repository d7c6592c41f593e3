/** Only A to Z: the full Unicode mapping would turn look-alikes (a Kelvin sign, say) into plain letters. */
export function lowerCaseAscii(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
