/** Messages that repeat values of unknown length, such as a name of 10,000 characters. */

export const LONGEST_MESSAGE = 300;
/** A value is cut to these lengths one after the other, until the message is short enough. */
const LONGEST_VALUES = [120, 60, 30];

/**
 * The message with long values cut in their middle, so that the sentence around them stays: words
 * without white space, and text in quotes. A message that is still too long loses its middle: its
 * beginning says what is wrong, and its end what to do. Never splits a surrogate pair.
 * @param most characters, as JavaScript counts them.
 */
export function shortened(message: string, most = LONGEST_MESSAGE): string {
  let short = message;
  for (const longest of LONGEST_VALUES) {
    if (short.length <= most) return short;
    short = short.replace(valueOver(longest), (value) => withoutMiddle(value, longest));
  }
  return withoutMiddle(short, most);
}

function valueOver(longest: number): RegExp {
  return new RegExp(`"[^"]{${longest},}"|\\S{${longest + 1},}`, 'g');
}

function withoutMiddle(text: string, most: number): string {
  if (text.length <= most) return text;
  const end = Math.floor((most - 1) / 2);
  const head = text.slice(0, most - 1 - end).replace(/[\ud800-\udbff]$/, '');
  const tail = text.slice(text.length - end).replace(/^[\udc00-\udfff]/, '');
  return `${head}…${tail}`;
}
