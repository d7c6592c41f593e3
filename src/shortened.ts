/** Messages that repeat values of unknown length, such as a name of 10,000 characters. */

export const LONGEST_MESSAGE = 300;
/** A value keeps this many characters, so that a reader knows it again. */
const SHORTEST_VALUE = 30;

/**
 * The message with its longest values cut in their middle, all to one length and no more than the
 * message needs, so that the sentence around them and shorter values, such as the name of a setting
 * or a file, stay whole. Values are words without white space, and text in quotes. A message that is
 * still too long loses its middle: its beginning says what is wrong, and its end what to do. Never
 * splits a surrogate pair.
 * @param most characters, as JavaScript counts them.
 */
export function shortened(message: string, most = LONGEST_MESSAGE): string {
  if (message.length <= most) return message;
  let fits = SHORTEST_VALUE;
  for (let tooLong = most + 1; tooLong - fits > 1; ) {
    const middle = Math.floor((fits + tooLong) / 2);
    if (withValuesOf(message, middle).length <= most) fits = middle;
    else tooLong = middle;
  }
  return withoutMiddle(withValuesOf(message, fits), most);
}

function withValuesOf(message: string, most: number): string {
  return message.replace(new RegExp(`"[^"]{${most - 1},}"|\\S{${most + 1},}`, 'g'), (value) =>
    withoutMiddle(value, most),
  );
}

function withoutMiddle(text: string, most: number): string {
  if (text.length <= most) return text;
  const end = Math.floor((most - 1) / 2);
  const head = text.slice(0, most - 1 - end).replace(/[\ud800-\udbff]$/, '');
  const tail = text.slice(text.length - end).replace(/^[\udc00-\udfff]/, '');
  return `${head}…${tail}`;
}
