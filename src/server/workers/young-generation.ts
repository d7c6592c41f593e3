/**
 * V8's space for new objects, in MB. Requests make much that lives for a moment; with V8's default
 * (16 MB, on Node 24 up to 64 MB) a worker takes up to 100 MB more, and is not faster. See
 * docs/performance.md, "Memory".
 */
const SEMI_SPACE_MB = 2;
const OPTION = /^--(max|min)[-_]semi[-_]space[-_]size/;

/**
 * Options of Node for a worker: those of this process, and a small space for new objects, unless
 * the operator has chosen a size by an option or by NODE_OPTIONS.
 */
export function optionsOfWorkers(execArgv: readonly string[], nodeOptions = ''): readonly string[] {
  const isChosen = [...execArgv, ...nodeOptions.split(/\s+/)].some((option) => OPTION.test(option));
  return isChosen ? execArgv : [...execArgv, `--max-semi-space-size=${SEMI_SPACE_MB}`];
}
