/** The lines of a Markdown text outside its code blocks, each with its number from 1. */
export function proseLines(text: string): readonly { readonly number: number; readonly line: string }[] {
  let inCode = false;
  return text.split('\n').flatMap((line, at) => {
    const isFence = /^\s*```/.test(line);
    if (isFence) inCode = !inCode;
    return isFence || inCode ? [] : [{ number: at + 1, line }];
  });
}

interface Section {
  /** As in the text, such as `## An example`. */
  readonly heading: string;
  readonly language: string;
}

/**
 * The code blocks of a language under one heading, in order, up to the next heading of its level.
 */
export function codeBlocks(text: string, { heading, language }: Section): readonly string[] {
  const lines = text.split('\n');
  const begin = lines.indexOf(heading);
  if (begin === -1) throw new Error(`no heading "${heading}"`);
  const level = heading.indexOf(' ');
  const next = proseLines(text).find(
    ({ number, line }) => number > begin + 1 && /^#+ /.test(line) && line.indexOf(' ') <= level,
  );
  const section = lines.slice(begin, next === undefined ? undefined : next.number - 1).join('\n');
  const block = new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, 'gm');
  return [...section.matchAll(block)].map(([, code = '']) => code);
}

/** The anchors that GitHub gives to the headings of a text. */
export function anchors(text: string): ReadonlySet<string> {
  const headings = proseLines(text).flatMap(({ line }) => /^#+ (.+)$/.exec(line)?.[1] ?? []);
  return new Set(
    headings.map((heading) =>
      heading
        .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

/** The targets of the links outside code, relative ones and addresses. */
export function linkTargets(text: string): readonly string[] {
  const prose = proseLines(text).map(({ line }) => line.replace(/`[^`]*`/g, '``'));
  return [...prose.join('\n').matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
}
