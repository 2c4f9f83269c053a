/** The expressions inside {{ }}: paths, literals, operators, ?: . No eval, which WeChat and our own policy both forbid. */

const token =
  /\s*(?:(\d+(?:\.\d+)?)|'([^']*)'|"([^"]*)"|([A-Za-z_$][\w$]*)|(===|!==|==|!=|<=|>=|&&|\|\||[-+*/%<>!?:.,()[\]]))/y;
const strength = {
  '||': 1,
  '&&': 2,
  '===': 3,
  '!==': 3,
  '==': 3,
  '!=': 3,
  '<': 4,
  '>': 4,
  '<=': 4,
  '>=': 4,
  '+': 5,
  '-': 5,
  '*': 6,
  '/': 6,
  '%': 6,
};
const apply = {
  '===': (a, b) => a === b,
  '!==': (a, b) => a !== b,
  '==': (a, b) => a === b || String(a) === String(b),
  '!=': (a, b) => a !== b && String(a) !== String(b),
  '<': (a, b) => a < b,
  '>': (a, b) => a > b,
  '<=': (a, b) => a <= b,
  '>=': (a, b) => a >= b,
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => a / b,
  '%': (a, b) => a % b,
};
const words = { true: true, false: false, null: null, undefined };

function tokens(text) {
  const found = [];
  token.lastIndex = 0;
  while (token.lastIndex < text.trimEnd().length) {
    const match = token.exec(text);
    if (!match) throw new SyntaxError(`Cannot read the expression {{${text}}}`);
    const [, number, single, double, name, sign] = match;
    if (number !== undefined) found.push({ value: Number(number) });
    else if (single !== undefined || double !== undefined) found.push({ value: single ?? double });
    else found.push(name ? { name } : { sign });
  }
  return found;
}

/** A function of the scope. Precedence climbing, as in every small calculator. */
export function compileExpression(text) {
  const list = tokens(text);
  let at = 0;
  const isNext = (sign) => list[at]?.sign === sign;
  const take = (sign) => isNext(sign) && ++at;
  const must = (sign) => {
    if (!take(sign)) throw new SyntaxError(`Expected ${sign} in {{${text}}}`);
  };

  function primary() {
    if (take('!')) {
      const inner = primary();
      return (scope) => !inner(scope);
    }
    if (take('-')) {
      const inner = primary();
      return (scope) => -inner(scope);
    }
    if (take('(')) {
      const inner = ternary();
      must(')');
      return inner;
    }
    const part = list[at++];
    if (!part || part.sign) throw new SyntaxError(`Cannot read the expression {{${text}}}`);
    if (!part.name) return () => part.value;
    let read = Object.hasOwn(words, part.name) ? () => words[part.name] : (scope) => scope[part.name];
    for (;;) {
      const from = read;
      if (take('.')) {
        const { name } = list[at++];
        read = (scope) => from(scope)?.[name];
      } else if (take('[')) {
        const index = ternary();
        must(']');
        read = (scope) => from(scope)?.[index(scope)];
      } else return read;
    }
  }

  function binary(least) {
    let left = primary();
    while (strength[list[at]?.sign] >= least) {
      const { sign } = list[at++];
      const [a, b] = [left, binary(strength[sign] + 1)];
      if (sign === '&&') left = (scope) => a(scope) && b(scope);
      else if (sign === '||') left = (scope) => a(scope) || b(scope);
      else left = (scope) => apply[sign](a(scope), b(scope));
    }
    return left;
  }

  function ternary() {
    const condition = binary(1);
    if (!take('?')) return condition;
    const yes = ternary();
    must(':');
    const no = ternary();
    return (scope) => (condition(scope) ? yes(scope) : no(scope));
  }

  const result = ternary();
  if (at < list.length) throw new SyntaxError(`Cannot read the expression {{${text}}}`);
  return result;
}

/** Text with {{ }} in it. One expression alone keeps its type. */
export function compileText(text) {
  const pieces = text.split(/\{\{(.*?)\}\}/s).map((piece, i) => (i % 2 ? compileExpression(piece) : piece));
  if (pieces.length === 3 && pieces[0] === '' && pieces[2] === '') return pieces[1];
  return (scope) => pieces.map((piece) => (typeof piece === 'function' ? (piece(scope) ?? '') : piece)).join('');
}
