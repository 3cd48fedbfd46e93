"""Make the mutants of a module: small mistakes, one at a time, for ``benchmarks/mutation.py``.

A mutant changes one place of the syntax tree: an operator is replaced by another or by one operand, a number is
increased or decreased, a comparison is shifted at its boundary or reversed, a condition is always true or false, a
NumPy function is replaced by one with the same signature, a call by its argument; a keyword argument, a bound of a
slice, a statement, a decorator or a ``with`` is removed. Imports, docstrings, annotations, type aliases, ``__all__``
and error messages are left alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_OPERATORS: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}

_COMPARISONS: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}

_PAIRS = "minimum maximum, add subtract, multiply divide, logical_and logical_or, zeros ones, zeros_like ones_like"
_PAIRS += ", all any, min max, argmin argmax, log log1p, exp expm1, sum prod, sigmoid softplus, digamma trigamma"
_FUNCTIONS: dict[str, str] = {}
for _pair in _PAIRS.split(", "):
    _one, _other = _pair.split()
    _FUNCTIONS |= {_one: _other, _other: _one}
_FUNCTIONS |= {"mean": "sum", "var": "std", "tanh": "sinh", "equal": "not_equal"}

_UNCALLED = {"copy", "astype", "reshape", "tolist", "swapaxes", "sum"}
"""Methods whose call is replaced by the object it is made on."""


@dataclass(frozen=True)
class Mutant:
    """Replace ``field`` of ``owner`` (the element at ``index``, if the field is a list) by ``replacement``."""

    line: int
    statement: ast.stmt
    owner: ast.AST
    field: str
    index: int | None
    replacement: Any

    def apply(self) -> Any:
        """Make the change in the tree, and return the previous value."""
        values = getattr(self.owner, self.field)
        if self.index is None:
            setattr(self.owner, self.field, self.replacement)
            return values
        before = values[self.index]
        if self.replacement is None:
            del values[self.index]
        else:
            values[self.index] = self.replacement
        return before

    def undo(self, before: Any) -> None:
        """Undo what ``apply`` did."""
        values = getattr(self.owner, self.field)
        if self.index is None:
            setattr(self.owner, self.field, before)
        elif self.replacement is None:
            values.insert(self.index, before)
        else:
            values[self.index] = before

    def difference(self) -> tuple[str, str]:
        """Return the line of code before and after."""
        old = _headline(self.statement)
        before = self.apply()
        new = "pass" if self.replacement is not None and self.owner is not self.statement and before is self.statement \
            else _headline(self.statement)  # fmt: skip
        self.undo(before)
        return old, new


def _headline(statement: ast.stmt) -> str:
    """Return a statement as one line, without its body if it has one."""
    if not hasattr(statement, "body"):
        return ast.unparse(statement)
    body, statement.body = statement.body, [ast.Pass()]
    orelse = getattr(statement, "orelse", None)
    if orelse:
        statement.orelse = []  # type: ignore[attr-defined]
    text = " ".join(line.strip() for line in ast.unparse(ast.fix_missing_locations(statement)).splitlines())
    statement.body = body
    if orelse:
        statement.orelse = orelse  # type: ignore[attr-defined]
    return text.removesuffix(" pass")


def mutants(tree: ast.Module) -> list[Mutant]:
    """Return all mutants of a module in the order of its lines; no two change a line in the same way."""
    found: dict[Any, Mutant] = {}
    for mutant in _Walk(tree).found():
        old, new = mutant.difference()
        if old != new:
            found.setdefault((id(mutant.statement), new, mutant.replacement is None), mutant)
    return sorted(found.values(), key=lambda mutant: mutant.line)


class _Walk:
    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.bound: set[str] = set()  # names that the function has bound so far

    def found(self) -> Iterator[Mutant]:
        yield from self._body(self.tree, "body")

    def _body(self, owner: ast.AST, field: str) -> Iterator[Mutant]:
        for i, statement in enumerate(getattr(owner, field)):
            if not _is_documentation(statement):
                yield from self._statement(statement, owner, field, i)

    def _statement(self, node: ast.stmt, owner: ast.AST, field: str, i: int) -> Iterator[Mutant]:
        def without() -> Mutant:
            return Mutant(node.lineno, node, owner, field, i, ast.copy_location(ast.Pass(), node))

        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            outer, self.bound = self.bound, set()
            for k, decorator in enumerate(node.decorator_list):
                yield Mutant(decorator.lineno, node, node, "decorator_list", k, None)
            if isinstance(node, ast.FunctionDef):
                self.bound = {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
                for name in ("defaults", "kw_defaults"):
                    for k, default in enumerate(getattr(node.args, name)):
                        if default is not None:
                            yield from self._expression(default, node.args, name, k, node)
            yield from self._body(node, "body")
            self.bound = outer
            return
        removable = isinstance(node, ast.Expr | ast.AugAssign | ast.Raise | ast.Break | ast.Continue | ast.Return)
        if isinstance(node, ast.Assign):
            names = {n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)}
            stores = any(not isinstance(target, ast.Name | ast.Tuple) for target in node.targets)
            removable = stores or names <= self.bound
            self.bound |= names
        if removable and owner is not self.tree:
            yield without()
        if isinstance(node, ast.With):
            for k, _ in enumerate(node.items):
                nothing = ast.parse("with contextlib_nullcontext(): pass").body[0].items[0]  # type: ignore[attr-defined]
                yield Mutant(node.lineno, node, node, "items", k, nothing)
        if isinstance(node, ast.AugAssign) and type(node.op) in _OPERATORS:
            yield Mutant(node.lineno, node, node, "op", None, _OPERATORS[type(node.op)]())
        if isinstance(node, ast.If):
            yield from _conditions(node, node, (True, False))
        if isinstance(node, ast.While):
            yield from _conditions(node, node, (False,))
        if isinstance(node, ast.Raise):
            return  # error messages are left alone
        for name, value in ast.iter_fields(node):
            if name in ("body", "orelse"):
                yield from self._body(node, name)
            elif name in ("annotation", "type_comment") or (isinstance(node, ast.AnnAssign) and name == "target"):
                continue
            else:
                yield from self._children(value, node, name, node)

    def _children(self, value: Any, owner: ast.AST, field: str, statement: ast.stmt) -> Iterator[Mutant]:
        if isinstance(value, ast.AST):
            yield from self._expression(value, owner, field, None, statement)
        elif isinstance(value, list):
            for k, element in enumerate(value):
                if isinstance(element, ast.AST):
                    yield from self._expression(element, owner, field, k, statement)

    def _expression(
        self, node: ast.AST, owner: ast.AST, field: str, index: int | None, statement: ast.stmt
    ) -> Iterator[Mutant]:
        line = getattr(node, "lineno", statement.lineno)

        def here(replacement: ast.AST) -> Mutant:
            return Mutant(line, statement, owner, field, index, ast.copy_location(replacement, node))

        if isinstance(node, ast.JoinedStr):
            return
        match node:
            case ast.BinOp():
                if type(node.op) in _OPERATORS:
                    yield Mutant(line, statement, node, "op", None, _OPERATORS[type(node.op)]())
                yield from (here(node.left), here(node.right))
            case ast.BoolOp():
                other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
                yield Mutant(line, statement, node, "op", None, other)
                yield from (here(value) for value in node.values)
            case ast.UnaryOp():
                yield here(node.operand)
            case ast.Compare():
                for k, op in enumerate(node.ops):
                    yield from (Mutant(line, statement, node, "ops", k, other()) for other in _COMPARISONS[type(op)])
            case ast.IfExp():
                yield from _conditions(node, statement, (True, False))
            case ast.comprehension():
                yield from (Mutant(line, statement, node, "ifs", k, None) for k in range(len(node.ifs)))
            case ast.Constant():
                yield from (here(ast.Constant(value)) for value in _other_constants(node.value))
            case ast.Slice():
                for bound in ("lower", "upper", "step"):
                    if getattr(node, bound) is not None:
                        yield Mutant(line, statement, node, bound, None, None)
            case ast.Call():
                yield from (Mutant(line, statement, node, "keywords", k, None) for k in range(len(node.keywords)))
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name in _FUNCTIONS:
                    attribute = "attr" if isinstance(node.func, ast.Attribute) else "id"
                    yield Mutant(line, statement, node.func, attribute, None, _FUNCTIONS[name])
                if isinstance(node.func, ast.Attribute) and name in _UNCALLED:
                    yield here(node.func.value)
                elif not isinstance(statement, ast.Expr):  # without the call it would be a removed statement
                    inside = (a for a in node.args if not isinstance(a, ast.Starred) and not _is_text(a))
                    yield from (here(argument) for argument in list(inside)[:1])
        for name, value in ast.iter_fields(node):
            if name not in ("ctx", "op", "ops") and not (isinstance(node, ast.keyword) and _is_text(node.value)):
                yield from self._children(value, node, name, statement)


def _conditions(
    node: ast.If | ast.While | ast.IfExp, statement: ast.stmt, values: tuple[bool, ...]
) -> Iterator[Mutant]:
    for value in values:
        constant = ast.copy_location(ast.Constant(value), node.test)
        yield Mutant(node.test.lineno, statement, node, "test", None, constant)


def _other_constants(value: Any) -> tuple[Any, ...]:
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, float) and abs(value) < 0.1:
        return (value + 1, 0.0, 1000 * value)
    if isinstance(value, int | float):
        return (value + 1, value - 1)
    if isinstance(value, str):
        return ("not " + value,)
    return ()


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_documentation(node: ast.stmt) -> bool:
    """Return whether a statement is a docstring, an import, a type alias or a declaration."""
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()) | ast.AnnAssign(value=None):
            return True
        case ast.AnnAssign(annotation=ast.Name(id="TypeAlias")):
            return True
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return name == "__all__" or (isinstance(value, ast.Subscript) and name[0].isupper() and not name.isupper())
        case ast.ClassDef(bases=[ast.Name(id="Protocol")]):
            return True
    return False
