#!/usr/bin/env node
// Fails if the image, or another file of this folder, ships a line of software that has ended, or
// that ends-of-life.json does not list. Prints one line for what ends within half a year, and for an
// ended line that the tests only run against.
//
// Usage: deploy/check-ends-of-life.mjs [--today 2026-11-26] [--root FOLDER]
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const DAY_MS = 86_400_000;
const SOON_DAYS = 183;
/** This project's own image. */
const OWN = 'cellpass';

const { values } = parseArgs({
  options: {
    today: { type: 'string', default: new Date().toISOString().slice(0, 10) },
    root: { type: 'string', default: new URL('..', import.meta.url).pathname },
  },
});
const read = (path) => readFileSync(join(values.root, path), 'utf8');
const ends = JSON.parse(read('deploy/ends-of-life.json'));

/** Image names with their tags, such as `postgres:17.10-bookworm`. */
const shipped = [
  ...read('deploy/Dockerfile').matchAll(/^ARG BASE=(\S+)$/gm),
  ...read('deploy/compose.yaml').matchAll(/^\s*image: (\S+)$/gm),
]
  .map(([, image]) => image)
  .filter((image) => !image.startsWith(`${OWN}:`))
  .flatMap(linesOf);
const tested = [
  ...(/^for line in (.*); do$/m.exec(read('test/node-versions.sh'))?.[1] ?? '')
    .split(' ')
    .map((line) => ({ product: 'node', line })),
  // Debian 12, on which the tests run, has these.
  { product: 'debian', line: 'bookworm' },
  { product: 'haproxy', line: '2.6' },
  { product: 'postgres', line: '15' },
];

const failures = shipped.flatMap((one) => judge(one, true));
for (const one of tested) judge(one, false);
for (const failure of failures) console.error(`deploy/check-ends-of-life: ${failure}`);
process.exitCode = failures.length > 0 ? 1 : 0;

/** The lines in an image: that of its program, and that of Debian if the tag names it. */
function linesOf(image) {
  const [, product, tag] = /^(?:.*\/)?([a-z-]+):(.+)$/.exec(image) ?? [null, image, ''];
  const [version, ...rest] = tag.split('-');
  const known = Object.keys(ends[product]?.lines ?? {});
  const line = known.find((one) => version === one || version.startsWith(`${one}.`)) ?? version;
  const debian = rest.find((word) => word in ends.debian.lines);
  return [
    { product, line, image },
    ...(debian === undefined ? [] : [{ product: 'debian', line: debian, image }]),
  ];
}

/** Problems; prints what is no problem yet. */
function judge({ product, line, image }, isShipped) {
  const where = isShipped ? `${image} in deploy/` : 'the tests';
  const end = ends[product]?.lines[line];
  if (end === undefined) {
    const unknown = `${product} ${line} (${where}) is missing in deploy/ends-of-life.json: look up when it ends`;
    if (isShipped) return [unknown];
    console.log(unknown);
    return [];
  }
  if (end === null) return [];
  const daysLeft = Math.ceil((Date.parse(end) - Date.parse(values.today)) / DAY_MS);
  if (daysLeft < 0) {
    const ended = `${product} ${line} ended on ${end} (${where}): ${ends[product].source}`;
    if (isShipped) return [`${ended}; ship a line that is maintained`];
    console.log(`only tested against: ${ended}`);
  } else if (isShipped && daysLeft <= SOON_DAYS) {
    console.log(`${product} ${line} ends on ${end}, in ${daysLeft} days (${where})`);
  }
  return [];
}
