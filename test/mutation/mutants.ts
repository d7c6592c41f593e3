import ts from 'typescript';

/** One small change to a source file that some test must notice. */
export interface Mutant {
  /** Path from the project's root. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** The line before the change, trimmed. */
  readonly code: string;
  /** The change in words: `old → new`. */
  readonly mutation: string;
  /** The whole file with the change made. */
  readonly mutated: string;
}

/** A replacement for one node, or for a part of it. */
interface Change {
  readonly node: ts.Node;
  readonly replacement: string;
}

const OPERATORS: Readonly<Record<string, readonly string[]>> = {
  '===': ['!=='],
  '!==': ['==='],
  '<': ['<=', '>='],
  '<=': ['<', '>'],
  '>': ['>=', '<='],
  '>=': ['>', '<'],
  '&&': ['||'],
  '||': ['&&'],
  '??': ['&&'],
  '+': ['-'],
  '-': ['+'],
};

const METHODS: Readonly<Record<string, string>> = {
  some: 'every',
  every: 'some',
  min: 'max',
  max: 'min',
  startsWith: 'endsWith',
  endsWith: 'startsWith',
  indexOf: 'lastIndexOf',
  lastIndexOf: 'indexOf',
  toLowerCase: 'toUpperCase',
  find: 'findLast',
  flatMap: 'map',
};

const VERDICTS = ["'grant'", "'refuse'", "'forbid'"];

/**
 * Pieces of a regular expression, each with its mutation. A class in brackets is one piece, and is
 * not changed.
 */
const PATTERN_PIECES = /\\.|\[[^\]]*\]|\(\?:|\{\d+,\d+\}|[\^$+?]/g;

/**
 * Every mutant of one file. Types and imports are not changed, because the compiler checks them.
 */
export function mutantsOf(file: string, text: string): readonly Mutant[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2023, true);
  const mutants: Mutant[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isTypeNode(node) || ts.isImportDeclaration(node) || ts.isInterfaceDeclaration(node)) return;
    for (const change of changesTo(node, source)) mutants.push(toMutant(file, source, change));
    ts.forEachChild(node, visit);
  };
  visit(source);
  return mutants;
}

function toMutant(file: string, source: ts.SourceFile, { node, replacement }: Change): Mutant {
  const { text } = source;
  const start = node.getStart(source);
  const { line } = source.getLineAndCharacterOfPosition(start);
  return {
    file,
    line: line + 1,
    code: text.split('\n')[line]?.trim() ?? '',
    mutation: `${oneLine(node.getText(source))} → ${oneLine(replacement) || '(nothing)'}`,
    mutated: text.slice(0, start) + replacement + text.slice(node.end),
  };
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ');
}

function changesTo(node: ts.Node, source: ts.SourceFile): readonly Change[] {
  const to = (...replacements: readonly string[]): readonly Change[] =>
    replacements.map((replacement) => ({ node, replacement }));
  const textOf = (part: ts.Node): string => part.getText(source);

  if (ts.isBinaryExpression(node)) return binary(node, source);
  if (ts.isPrefixUnaryExpression(node)) return to(...unary(node.operator, textOf(node.operand)));
  if (ts.isPostfixUnaryExpression(node)) return to(...unary(node.operator, textOf(node.operand)));
  if (node.kind === ts.SyntaxKind.TrueKeyword) return to('false');
  if (node.kind === ts.SyntaxKind.FalseKeyword) return to('true');
  if (ts.isNumericLiteral(node)) return to(...numbers(node));
  if (ts.isStringLiteral(node)) return to(...strings(node, source));
  if (ts.isRegularExpressionLiteral(node)) return to(...patterns(textOf(node)));
  if (ts.isTemplateExpression(node)) return to(...patterns(textOf(node)), "''");
  if (ts.isIfStatement(node)) return fixed(node.expression);
  if (ts.isConditionalExpression(node)) return fixed(node.condition);
  if (ts.isExpressionStatement(node) || ts.isContinueStatement(node)) return to(';');
  if (ts.isArrayLiteralExpression(node)) return withoutEach(node, node.elements, source);
  if (ts.isObjectLiteralExpression(node)) return withoutEach(node, node.properties, source);
  if (ts.isCallExpression(node)) return withoutFilter(node, source);
  if (ts.isPropertyAccessExpression(node)) return method(node.name);
  return [];
}

/** Replaces the operator, or the whole expression by one side. */
function binary(node: ts.BinaryExpression, source: ts.SourceFile): readonly Change[] {
  const { operatorToken, left, right } = node;
  const operators = OPERATORS[operatorToken.getText(source)] ?? [];
  const others = operators.map((replacement) => ({ node: operatorToken, replacement }));
  const isLogical = ['&&', '||'].includes(operatorToken.getText(source));
  const sides = isLogical ? [left, right].map((side) => ({ node, replacement: side.getText(source) })) : [];
  return [...others, ...sides];
}

function unary(operator: ts.SyntaxKind, operand: string): readonly string[] {
  if (operator === ts.SyntaxKind.ExclamationToken) return [operand];
  if (operator === ts.SyntaxKind.PlusPlusToken) return [`${operand}--`];
  if (operator === ts.SyntaxKind.MinusMinusToken) return [`${operand}++`];
  return [];
}

/** In a table only the order of numbers matters; elsewhere their value does. */
function numbers(node: ts.NumericLiteral): readonly string[] {
  const value = Number(node.text);
  const inTable = ts.isPropertyAssignment(node.parent);
  return (inTable ? [-value, value * 10] : [value + 1, value - 1]).map(String);
}

function strings(node: ts.StringLiteral, source: ts.SourceFile): readonly string[] {
  const text = node.getText(source);
  if (ts.isPropertyAssignment(node.parent) && node.parent.name === node) return [];
  if (VERDICTS.includes(text)) return VERDICTS.filter((verdict) => verdict !== text);
  return ["'mutated'", ...(text.includes('[') ? patterns(text) : [])];
}

/** Removes an anchor or a quantifier, negates a class, or widens a count. */
function patterns(text: string): readonly string[] {
  return [...text.matchAll(PATTERN_PIECES)].flatMap((match) => {
    const [piece] = match;
    if (piece === '(?:' || (piece === '$' && text[match.index + 1] === '{')) return [];
    const before = text.slice(0, match.index);
    const after = text.slice(match.index + piece.length);
    return otherPieces(piece).map((other) => before + other + after);
  });
}

function otherPieces(piece: string): readonly string[] {
  if (piece.startsWith('[')) return [`[^${piece.slice(1)}`];
  const [, least, most] = /^\{(\d+),(\d+)\}$/.exec(piece) ?? [];
  if (least === undefined) return piece.startsWith('\\') ? [] : [''];
  const [from, to] = [Number(least), Number(most)];
  return [`{${from - 1},${to}}`, `{${from + 1},${to}}`, `{${from},${to - 1}}`, `{${from},${to + 1}}`];
}

/** Replaces the condition by true or false; this also removes early returns. */
function fixed(condition: ts.Expression): readonly Change[] {
  return ['true', 'false'].map((replacement) => ({ node: condition, replacement }));
}

function withoutEach(node: ts.Node, members: readonly ts.Node[], source: ts.SourceFile): readonly Change[] {
  const open = node.getText(source).slice(0, 1);
  const close = node.getText(source).slice(-1);
  return members.map((_, left) => {
    const kept = members.filter((_member, index) => index !== left).map((member) => member.getText(source));
    return { node, replacement: `${open}${kept.join(', ')}${close}` };
  });
}

function withoutFilter(node: ts.CallExpression, source: ts.SourceFile): readonly Change[] {
  const { expression } = node;
  if (!ts.isPropertyAccessExpression(expression) || expression.name.text !== 'filter') return [];
  return [{ node, replacement: expression.expression.getText(source) }];
}

function method(name: ts.MemberName): readonly Change[] {
  const other = METHODS[name.text];
  return other === undefined ? [] : [{ node: name, replacement: other }];
}
