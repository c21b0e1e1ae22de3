"""Single checks, found in the source and changed while their module is imported: recorded as they fire, or one switched off.

A check is an `if` whose block ends with `raise`, or a call whose name says that it requires, verifies or checks something and
whose result nobody takes.
"""

import ast
import builtins
import importlib.machinery
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType

ROOT = Path(__file__).parents[2]
FIRED = "__check_fired__"
_NAME_OF_A_CHECK = re.compile(r"_?(require|verify|check)(_|$)")


@dataclass(frozen=True, order=True)
class Check:
    """One check. `source` is its first line; with file and function it names the check whatever stands above it."""

    path: str
    line: int
    function: str
    source: str

    @property
    def place(self) -> str:
        """Give file and line."""
        return f"{self.path}:{self.line}"

    @property
    def name(self) -> tuple[str, str, str]:
        """Give what stays the same when lines move."""
        return self.path, self.function, self.source


def checks_below(directory: Path) -> list[Check]:
    """Find the checks of every module in a directory, or of one module."""
    paths = [directory] if directory.is_file() else sorted(directory.rglob("*.py"))
    return [check for path in paths for check in _checks_of(path)]


def _checks_of(path: Path) -> list[Check]:
    found = _Checks(path, lambda _, node: [node])
    found.visit(ast.parse(path.read_bytes()))
    return found.checks


class _Checks(ast.NodeTransformer):
    """Finds the checks of a module, and puts in the place of each whatever `change` makes of it."""

    def __init__(self, path: Path, change: Callable[[Check, ast.If | ast.Expr], list[ast.stmt]]) -> None:
        self.checks: list[Check] = []
        self._path, self._change = path, change
        self._lines = path.read_text().splitlines()
        self._within: list[str] = []

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> ast.AST:
        self._within.append(node.name)
        self.generic_visit(node)
        self._within.pop()
        return node

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef  # noqa: N815

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        return self._changed(node) if isinstance(node.body[-1], ast.Raise) else node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | list[ast.stmt]:
        return self._changed(node) if _is_call_of_a_check(node.value) else node

    def _changed(self, node: ast.If | ast.Expr) -> list[ast.stmt]:
        code, _, _ = self._lines[node.lineno - 1].partition("  #")  # its number in docs/protocol.md is no part of it
        check = Check(str(self._path.relative_to(ROOT)), node.lineno, ".".join(self._within), code.strip())
        self.checks.append(check)
        return [ast.fix_missing_locations(ast.copy_location(it, node)) for it in self._change(check, node)]


def _is_call_of_a_check(value: ast.expr) -> bool:
    while isinstance(value, ast.Await):
        value = value.value
    if not isinstance(value, ast.Call):
        return False
    called = value.func
    name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    return _NAME_OF_A_CHECK.match(name) is not None


def recording(check: Check, node: ast.If | ast.Expr) -> list[ast.stmt]:
    """Have a check tell when it fires."""
    told = ast.Constant(check.place)
    if isinstance(node, ast.If):
        test = ast.Call(ast.Name(FIRED, ast.Load()), [told, node.test], [])
        return [ast.If(ast.copy_location(test, node.test), node.body, node.orelse)]
    (handled,) = ast.parse(f"try:\n    pass\nexcept BaseException:\n    {FIRED}({check.place!r}, True)\n    raise").body
    assert isinstance(handled, ast.Try)
    handled.body = [node]
    return [handled]


def without(place: str) -> Callable[[Check, ast.If | ast.Expr], list[ast.stmt]]:
    """Leave one check out; what would have happened in its block does not happen."""

    def change(check: Check, node: ast.If | ast.Expr) -> list[ast.stmt]:
        if check.place != place:
            return [node]
        return (node.orelse if isinstance(node, ast.If) else []) or [ast.Pass()]

    return change


class _Changing(importlib.machinery.SourceFileLoader):
    """Compiles a module from its changed source, and keeps no bytecode of it."""

    change: Callable[[Check, ast.If | ast.Expr], list[ast.stmt]]

    def get_code(self, fullname: str) -> CodeType:
        path = Path(self.get_filename(fullname))
        tree = _Checks(path, self.change).visit(ast.parse(path.read_bytes()))
        code: CodeType = compile(ast.fix_missing_locations(tree), str(path), "exec", dont_inherit=True)
        return code


class Changes:
    """Stands before the other finders, and changes the modules of some directories as they are imported."""

    def __init__(self, below: Sequence[Path], change: Callable[[Check, ast.If | ast.Expr], list[ast.stmt]]) -> None:
        """Change what lies below these directories, or is one of these files."""
        self._below = [path.resolve() for path in below]
        self._change = change

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Find a module as Python does, and have it changed if it is one of ours."""
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        origin = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if spec is None or origin is None or origin.suffix != ".py":
            return None
        if not any(origin.is_relative_to(below) for below in self._below):
            return None
        loader = _Changing(name, str(origin))
        loader.change = self._change
        spec.loader = loader
        return spec

    def install(self, fired: Callable[[str], None] = lambda _: None) -> None:
        """Begin. `fired` is told the place of each check that fires, where the change is `recording`."""

        def tell(place: str, outcome: object) -> object:
            if outcome:
                fired(place)
            return outcome

        setattr(builtins, FIRED, tell)
        sys.meta_path.insert(0, self)
