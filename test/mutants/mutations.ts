// The faults that can be put into a source: each is one small change, as a slip of the hand would make it.
import path from 'node:path'
import ts from 'typescript'

export interface Mutation {
  readonly file: string
  /** From 1. */
  readonly line: number
  /** What is replaced, from `start` to `end`, by `text`. */
  readonly start: number
  readonly end: number
  readonly text: string
  /** What runs if the change can be noticed: an expression, a statement in a block, or the only one of a branch. */
  readonly place: {
    readonly start: number
    readonly end: number
    readonly kind: 'expression' | 'listed' | 'only'
  }
}

const operators: Readonly<Record<string, string>> = {
  '===': '!==',
  '!==': '===',
  '<': '<=',
  '<=': '<',
  '>': '>=',
  '>=': '>',
  '&&': '||',
  '||': '&&',
  '+': '-',
  '-': '+',
  '*': '/',
  '/': '*',
  '&': '|',
  '|': '&',
}

const methods: Readonly<Record<string, string>> = {
  some: 'every',
  every: 'some',
  min: 'max',
  max: 'min',
  startsWith: 'endsWith',
  endsWith: 'startsWith',
  indexOf: 'lastIndexOf',
  lastIndexOf: 'indexOf',
}

export function mutationsOf(file: string, text: string): Mutation[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const found: Mutation[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isTypeNode(node) || ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return
    changesOf(node, source, (at, to, inside = at, [start, end] = [at.getStart(source), at.end]) => {
      const line = source.getLineAndCharacterOfPosition(start).line + 1
      if (text.slice(start, end) === to) return
      found.push({ file, line, start, end, text: to, place: placeOf(inside, source) })
    })
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

/** A statement that begins with the expression runs with it, and needs no semicolon before it. */
function placeOf(inside: ts.Node, source: ts.SourceFile): Mutation['place'] {
  const start = inside.getStart(source)
  let node = inside
  while (!ts.isStatement(node) && node.parent.getStart(source) === start) node = node.parent
  if (!ts.isStatement(node)) return { start, end: inside.end, kind: 'expression' }
  const isListed = [ts.isBlock, ts.isSourceFile, ts.isCaseOrDefaultClause].some((is) => is(node.parent))
  return { start, end: node.end, kind: isListed ? 'listed' : 'only' }
}

/** Replaces `at`, or the range, by `to`; what runs is `at`, or `inside`. */
type Change = (at: ts.Node, to: string, inside?: ts.Node, range?: [start: number, end: number]) => void

function changesOf(node: ts.Node, source: ts.SourceFile, change: Change): void {
  const written = (one: ts.Node) => one.getText(source)
  if (ts.isBinaryExpression(node)) {
    const other = operators[written(node.operatorToken)]
    if (other !== undefined) change(node.operatorToken, other, node)
    if (written(node.operatorToken) === '??') change(node, written(node.left))
  } else if (ts.isPrefixUnaryExpression(node) && node.operator === ts.SyntaxKind.ExclamationToken) {
    change(node, written(node.operand))
  } else if (ts.isAwaitExpression(node)) change(node, written(node.expression))
  else if (ts.isIfStatement(node) || ts.isWhileStatement(node)) negate(node.expression)
  else if (ts.isConditionalExpression(node)) negate(node.condition)
  else if (ts.isNumericLiteral(node)) {
    const value = Number(node.text.replaceAll('_', ''))
    change(node, '0')
    // A bound of ours that is one more is as good; a code is another.
    if (value < 100 || written(node).startsWith('0x')) change(node, String(value + 1))
  } else if (ts.isStringLiteralLike(node) || ts.isTemplateExpression(node)) {
    const isName = ts.isPropertyAssignment(node.parent) && node.parent.name === node
    if (!isName) change(node, written(node).length === 2 ? "'x'" : "''")
  } else if (ts.isRegularExpressionLiteral(node)) changeExpression(node)
  else if (node.kind === ts.SyntaxKind.TrueKeyword) change(node, 'false')
  else if (node.kind === ts.SyntaxKind.FalseKeyword) change(node, 'true')
  else if (ts.isPropertyAccessExpression(node) && ts.isCallExpression(node.parent)) {
    const other = node.parent.expression === node ? methods[node.name.text] : undefined
    // To take a link out of a?.b.c() would be a change of its own.
    const inside = node.parent.arguments[0]
    if (other !== undefined && inside) change(node.name, other, inside)
  } else if (ts.isExpressionStatement(node)) change(node, ';')
  else if (ts.isThrowStatement(node) || ts.isContinueStatement(node)) change(node, ';')
  else if (ts.isReturnStatement(node) && !node.expression) change(node, ';')
  else if (ts.isBlock(node) && ts.isFunctionLike(node.parent) && node.statements[0]) {
    const [first] = node.statements
    const start = first.getStart(source)
    change(first, 'return; ', first, [start, start])
  }
  if (ts.isCallExpression(node) || ts.isNewExpression(node)) swapArguments(node.arguments ?? [])

  function negate(condition: ts.Expression): void {
    change(condition, `!(${written(condition)})`)
  }

  function swapArguments(all: readonly ts.Expression[]): void {
    for (const [at, one] of all.entries()) {
      const next = all[at + 1]
      if (next) change(one, `${written(next)}, ${written(one)}`, one, [one.getStart(source), next.end])
    }
  }

  function changeExpression(literal: ts.RegularExpressionLiteral): void {
    const [, pattern = '', flags = ''] = /^\/(.*)\/(\w*)$/s.exec(literal.text) ?? []
    const others = [pattern.replace(/^\^/, ''), pattern.replace(/\$$/, ''), '(?!)']
    for (const other of others) if (other !== pattern && other !== '') change(literal, `/${other}/${flags}`)
    if (flags.includes('i')) change(literal, `/${pattern}/${flags.replace('i', '')}`)
  }
}

export function mutated(text: string, { start, end, text: to }: Mutation): string {
  return text.slice(0, start) + to + text.slice(end)
}

/** The source with a call of `__seen(number)` at the place of each mutation; lines stay where they are. */
export function watched(text: string, places: ReadonlyMap<number, Mutation['place']>, seen: string): string {
  const inserts = [...places].flatMap(([number, { start, end, kind }]) => {
    const call = `__seen(${number})`
    // A declaration has to stay in its block.
    if (kind === 'listed') return [{ at: start, order: -1e9, text: `${call}; ` }]
    const [before, after] = kind === 'only' ? [`{ ${call}; `, ' }'] : [`(${call}, `, ')']
    return [
      { at: start, order: start - end, text: before },
      // What ends here ends before the next begins, and the inner before the outer.
      { at: end, order: -2e9 - start, text: after },
    ]
  })
  inserts.sort((one, other) => one.at - other.at || one.order - other.order)
  let done = 0
  const pieces = inserts.map(({ at, text: insert }) => {
    const piece = text.slice(done, at) + insert
    done = at
    return piece
  })
  return `${seen} ${pieces.join('')}${text.slice(done)}`
}

/** Says what of a file's text the type checker refuses; it reads the other files once. */
export function typeChecker(root: string, files: readonly string[]): (file: string, text: string) => boolean {
  const changed = new Map<string, { text: string; version: number }>()
  const { config } = ts.readConfigFile(path.join(root, 'tsconfig.json'), (name) => ts.sys.readFile(name)) as {
    config: unknown
  }
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root)
  const service = ts.createLanguageService({
    getCompilationSettings: () => options,
    getScriptFileNames: () => files.map((file) => path.join(root, file)),
    getScriptVersion: (name) => String(changed.get(name)?.version ?? 0),
    getScriptSnapshot: (name) => {
      const text = changed.get(name)?.text ?? ts.sys.readFile(name)
      return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text)
    },
    getCurrentDirectory: () => root,
    getDefaultLibFileName: (one) => ts.getDefaultLibFilePath(one),
    fileExists: (name) => ts.sys.fileExists(name),
    readFile: (name) => ts.sys.readFile(name),
    readDirectory: (...args) => ts.sys.readDirectory(...args),
    directoryExists: (name) => ts.sys.directoryExists(name),
    getDirectories: (name) => ts.sys.getDirectories(name),
  })
  let versions = 0
  return (file, text) => {
    const name = path.join(root, file)
    changed.set(name, { text, version: ++versions })
    const refusals = [...service.getSyntacticDiagnostics(name), ...service.getSemanticDiagnostics(name)]
    changed.delete(name)
    return refusals.length > 0
  }
}
