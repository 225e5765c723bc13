"""Do the checks see what is wrong? Each solution is changed in many small ways, and then checked.

    python -m tests.mutants                 every lesson
    python -m tests.mutants 02 05           some of them
    python -m tests.mutants make_loaders    one exercise

A mutant has one change: another operator, constant, axis or order, a line that is missing, an
argument that is ignored, one that is changed in place, a result that is cut off from the gradient
or of another type. Mutants that do what the solution does on a thousand random inputs, made from
those that the check itself asks about, are no mistakes, and are left out. Writes build/mutants.md:
for each exercise how many of the others its check rejects, and those that it lets pass.

The exercises that are answered by a value or by letters have no mutants. In those that are judged
by a score, a mutant that still reaches it is another answer; the report lists it apart.
"""

import ast
import copy
import functools
import io
import random
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import jupytext
import numpy as np
import torch
from torch.utils.data import DataLoader

from authoring import build, course
from tests.test_checks import EXERCISES, bound, checks_of

REPORT = course.BUILD / "mutants.md"
#: Random inputs on which a mutant must agree with the solution to be left out, and the seconds
#: that may be spent on them.
INPUTS, SECONDS = 1000, 5
#: Seconds after which a mutant counts as one that never ends.
ENDLESS = 60
#: The share that a check should reject.
AIM = 0.95

SWAPS = {
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div, ast.Add],
    ast.Div: [ast.Mult],
    ast.FloorDiv: [ast.Div, ast.Mult],
    ast.Mod: [ast.FloorDiv],
    ast.Pow: [ast.Mult],
    ast.MatMult: [ast.Mult],
    ast.Lt: [ast.LtE, ast.Gt],
    ast.LtE: [ast.Lt, ast.GtE],
    ast.Gt: [ast.GtE, ast.Lt],
    ast.GtE: [ast.Gt, ast.LtE],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.And: [ast.Or],
    ast.Or: [ast.And],
    ast.BitAnd: [ast.BitOr],
    ast.BitOr: [ast.BitAnd],
}
#: Functions and methods that are taken for one another.
TWINS = {
    **{"mean": "sum", "sum": "mean", "min": "max", "max": "min", "argmin": "argmax"},
    **{"argmax": "argmin", "minimum": "maximum", "maximum": "minimum", "sqrt": "square"},
    **{"exp": "log1p", "log": "log10", "log10": "log", "floor": "ceil", "rint": "floor"},
    **{"round": "int", "softmax": "log_softmax", "log_softmax": "softmax", "all": "any"},
    **{"any": "all", "median": "mean", "std": "var", "ones_like": "zeros_like"},
    **{"zeros_like": "ones_like", "zeros": "ones", "ones": "zeros", "relu": "abs"},
    **{"sorted": "list", "abs": "float", "hypot": "add", "train": "eval", "eval": "train"},
}
AXES = {"dim", "axis"}
#: Challenges: whatever reaches the score, and leaves its arguments as they are, is an answer.
BY_SCORE = {
    "my_colorizer": "any colorizer that beats gray and the mean colour",
    "enliven": "any colours whose histogram is nearer to the truth's",
    "colour_tissue": "any colours that are nearer to the truth than gray and one colour",
}
SPOILS = "in place"


@dataclass(frozen=True)
class Mutant:
    """A changed solution: what was changed, and its code."""

    change: str
    tree: ast.Module


def _variants(node: ast.AST, parameters: dict[str, ast.expr | None]) -> Iterator[ast.AST]:
    """What may stand in a node's place."""
    if isinstance(node, ast.BinOp | ast.BoolOp):
        for other in SWAPS.get(type(node.op), []):
            yield _with(node, op=other())
        if isinstance(node, ast.BinOp):
            yield node.left
            yield node.right
            if isinstance(node.op, ast.Sub | ast.Div | ast.MatMult | ast.Pow):
                yield _with(node, left=node.right, right=node.left)
    elif isinstance(node, ast.Compare):
        for other in SWAPS.get(type(node.ops[0]), []):
            yield _with(node, ops=[other(), *node.ops[1:]])
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Constant):
        yield from (ast.Constant(value) for value in _constants(node.value))
    elif isinstance(node, ast.Call):
        yield from _calls(node)
    elif isinstance(node, ast.Attribute) and node.attr in TWINS:
        yield _with(node, attr=TWINS[node.attr])
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        if node.id in TWINS:
            yield _with(node, id=TWINS[node.id])
        if parameters.get(node.id) is not None:  # as if the argument were not there
            yield parameters[node.id]
    elif isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.ctx, ast.Load):
        yield _with(node, elts=node.elts[::-1])
    elif isinstance(node, ast.IfExp):
        yield node.body
        yield node.orelse


def _with(node: ast.AST, **changed: object) -> ast.AST:
    other = copy.copy(node)
    for name, value in changed.items():
        setattr(other, name, value)
    return other


def _constants(value: object) -> list:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1, *([-value] if value else [])]
    if isinstance(value, float):
        return [value * 2, value / 2 if value else 1.0, -value]
    return []


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    if len(node.args) == 2:
        yield _with(node, args=node.args[::-1])
    if len(node.args) == 1 and not node.keywords and not isinstance(node.args[0], ast.Starred):
        yield node.args[0]  # as if nothing were called
    if isinstance(node.func, ast.Attribute) and not isinstance(node.func.value, ast.Name):
        yield node.func.value
    for keyword in node.keywords:
        if keyword.arg is not None:
            others = [other for other in node.keywords if other is not keyword]
            yield _with(node, keywords=others)


def _blocks(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    """Every list of statements within a function, that of the function first."""
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list) and block and not isinstance(node, ast.Module | ast.Lambda):
                yield block


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def mutants(code: str, *, loss: bool) -> Iterator[Mutant]:
    """All mutants of a cell that defines functions.

    Parameters
    ----------
    code : str
        A solved exercise.
    loss : bool
        Whether a gradient has to flow through the result.
    """
    tree = ast.parse(code)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    nodes = [
        (function, node)
        for function in functions
        for statement in function.body
        if not _is_text(statement) and not isinstance(statement, ast.FunctionDef)
        for node in ast.walk(statement)
    ]
    for function, node in nodes:
        for variant in _variants(node, _defaults(function)):
            yield _replaced(tree, node, variant)
    for number, block in enumerate(_blocks(tree)):
        for place, statement in enumerate(block):
            if _is_text(statement) or isinstance(statement, ast.FunctionDef | ast.Return):
                continue
            yield _edited(tree, number, place, [], f"without: {_line(statement)}")
            following = block[place + 1 : place + 2]
            if following and not isinstance(following[0], ast.Return):
                text = f"order: {_line(following[0])} before {_line(statement)}"
                yield _edited(tree, number, place, [following[0], statement], text, 2)
    last = functions[0]
    for name in [argument.arg for argument in last.args.args]:
        yield _returning(tree, f"_spoilt({{}}, {name})", f"changes {name} {SPOILS}")
    yield _returning(tree, "_rounded({})", "a result rounded to whole numbers")
    if loss:
        yield _returning(tree, "_cut_off({})", "a result cut off from the gradient")


def _defaults(function: ast.FunctionDef) -> dict[str, ast.expr | None]:
    names = [argument.arg for argument in function.args.args]
    values = function.args.defaults
    return dict(zip(names[len(names) - len(values) :], values, strict=True))


def _line(node: ast.AST) -> str:
    return ast.unparse(node).splitlines()[0]


def _replaced(tree: ast.Module, node: ast.AST, variant: ast.AST) -> Mutant:
    class Replace(ast.NodeTransformer):
        def visit(self, other: ast.AST) -> ast.AST:
            return copy.deepcopy(variant) if other is node else self.generic_visit(_shallow(other))

    before = next(
        _line(statement)
        for statement in reversed([n for n in ast.walk(tree) if isinstance(n, ast.stmt)])
        if any(part is node for part in ast.walk(statement))
    )
    text = f"{ast.unparse(node)} -> {ast.unparse(variant)} in: {before}"
    return Mutant(text, ast.fix_missing_locations(Replace().visit(tree)))


def _shallow(node: ast.AST) -> ast.AST:
    """A node whose lists may be changed without changing the tree that it is from."""
    other = copy.copy(node)
    for name, value in ast.iter_fields(node):
        if isinstance(value, list):
            setattr(other, name, list(value))
    return other


def _edited(
    tree: ast.Module, number: int, place: int, put: list[ast.stmt], text: str, length: int = 1
) -> Mutant:
    changed = copy.deepcopy(tree)
    block = list(_blocks(changed))[number]
    block[place : place + length] = copy.deepcopy(put) or ([] if len(block) > 1 else [ast.Pass()])
    return Mutant(text, ast.fix_missing_locations(changed))


def _returning(tree: ast.Module, form: str, text: str) -> Mutant:
    changed = copy.deepcopy(tree)
    function = next(node for node in ast.walk(changed) if isinstance(node, ast.FunctionDef))
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None:
            node.value = ast.parse(form.format(ast.unparse(node.value)), mode="eval").body
    return Mutant(text, ast.fix_missing_locations(changed))


# -- what the last kinds of mutants do


def _spoilt(result: object, argument: object) -> object:
    """The result, after the argument was changed in place."""
    result = result.clone() if isinstance(result, torch.Tensor) else copy.deepcopy(result)
    if isinstance(argument, np.ndarray) and argument.flags.writeable:
        argument[...] = 0
    elif isinstance(argument, torch.Tensor):
        argument.detach().zero_()
    elif isinstance(argument, list):
        argument.clear()
    return result


def _each(change: Callable, result: object) -> object:
    if isinstance(result, tuple | list):
        return type(result)(_each(change, part) for part in result)
    return change(result)


def _rounded(result: object) -> object:
    def change(part):
        if isinstance(part, float):
            return float(round(part))
        if isinstance(part, torch.Tensor) and part.is_floating_point():
            return part.round()
        if isinstance(part, np.ndarray) and part.dtype.kind == "f":
            return part.round()
        return part

    return _each(change, result)


def _cut_off(result: object) -> object:
    return _each(lambda p: p.detach() if isinstance(p, torch.Tensor) else p, result)


HELPERS = {"_spoilt": _spoilt, "_rounded": _rounded, "_cut_off": _cut_off}


# -- whether a mutant is a mistake at all


def varied(value: object, rng: np.random.Generator) -> object:
    """Another input of the same kind: arrays shuffled and shaken, numbers changed."""
    if isinstance(value, torch.Tensor):
        return torch.from_numpy(np.ascontiguousarray(varied(value.detach().numpy(), rng)))
    if isinstance(value, np.ndarray):
        if not value.size or value.dtype.kind not in "iuf":
            return value.copy()
        other = rng.permutation(value.ravel()).reshape(value.shape)
        if value.dtype.kind == "f" and rng.random() < 0.7:
            shaken = other * rng.uniform(0.5, 1.5, value.shape)
            other = np.clip(shaken, value.min(), value.max()).astype(value.dtype)
        return other
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, int):
        return max(0 if value >= 0 else value - 2, value + int(rng.integers(-2, 3)))
    if isinstance(value, float):
        return value * rng.uniform(0.3, 2)
    if isinstance(value, list | tuple):
        return type(value)(varied(part, rng) for part in value)
    return copy.deepcopy(value)


def same(one: object, other: object) -> bool:
    """Whether two results agree but for rounding."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        if one.requires_grad != other.requires_grad:
            return False
        return one.shape == other.shape and same(one.detach().numpy(), other.detach().numpy())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, torch.nn.Module) and isinstance(other, torch.nn.Module):
        return same(one.state_dict(), other.state_dict()) and same(_state(one), _state(other))
    if isinstance(one, DataLoader) and isinstance(other, DataLoader):
        return one.batch_size == other.batch_size and same(_epochs(one), _epochs(other))
    one, other = (x.detach().numpy() if isinstance(x, torch.Tensor) else x for x in (one, other))
    try:
        a, b = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    except (TypeError, ValueError, RuntimeError):  # no numbers
        return type(one) is type(other) and repr(one) == repr(other)
    if a.shape != b.shape:
        return False
    scale = np.abs(a[np.isfinite(a)]).max(initial=0)
    return np.allclose(a, b, rtol=1e-4, atol=1e-5 * scale + 1e-9, equal_nan=True)


def _state(network: torch.nn.Module) -> tuple[list, list]:
    """What of a network its state dict leaves out: gradients, modes, numbers that it was given."""
    gradients = [(p.requires_grad, p.grad is None) for p in network.parameters()]
    plain = [
        [value for value in vars(module).values() if isinstance(value, bool | int | float)]
        for module in network.modules()
    ]
    return gradients, plain


def _epochs(loader: DataLoader) -> list | None:
    """The batches of two epochs, always with the same random numbers; None if there are none."""
    torch.manual_seed(0)
    try:
        return [list(loader) for _ in range(2)]
    except Exception:  # a mutant's data may not go into batches at all
        return None


class Endless(BaseException):
    """A mutant that goes on and on."""


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Break off what takes longer."""

    def stop(*_):
        raise Endless

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def outcome(function: Callable, arguments: tuple, options: dict, *, loss: bool) -> tuple | None:
    """What a call returns and makes of its arguments; None if it fails."""
    given, named = copy.deepcopy((arguments, options))
    if loss:
        for part in given:
            if isinstance(part, torch.Tensor) and part.is_floating_point():
                part.requires_grad_()
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    try:
        return function(*given, **named), given
    except Exception:
        return None


def is_mistake(solution: Callable, mutant: Callable, calls: list, *, loss: bool) -> bool:
    """Whether a mutant does something else than the solution, as far as can be told."""
    rng, compared = np.random.default_rng(0), 0
    try:
        with at_most(SECONDS):
            for number in range(INPUTS):
                arguments, options = calls[number % len(calls)]
                if number >= len(calls):
                    arguments, options = varied(arguments, rng), dict(options)
                    options = {name: varied(value, rng) for name, value in options.items()}
                right = outcome(solution, arguments, options, loss=loss)
                if right is None:
                    asked = number < len(calls)  # by the check, which then wants an error
                    if asked and outcome(mutant, arguments, options, loss=loss) is not None:
                        return True
                    if number == 2 * len(calls) and not compared:
                        return True  # it works on what only the check has, such as a file
                    continue
                compared += 1
                got = outcome(mutant, arguments, options, loss=loss)
                if got is None or not same(right, got):
                    return True
    except Endless:
        return False
    return False


# -- the checks at work


def solved_cells(lesson: str) -> dict[str, str]:
    """The solved cell of each exercise that defines functions, by its check."""
    found, code = {}, ""
    for cell in jupytext.read(course.LESSONS / f"{lesson}.py").cells:
        if "exercise" in course.tags(cell):
            code = build.show_solution(cell.source)
        elif "check" in course.tags(cell):
            name = next(
                name for of, name, _ in EXERCISES if of == lesson and f".{name}(" in cell.source
            )
            found[name] = code
    return found


def kept(value: object, folder: Path) -> object:
    """A copy of an argument; of a file's path, that of a copy, since a check takes its away."""
    if isinstance(value, Path) and value.is_file():
        copied = folder / str(len(list(folder.iterdir()))) / value.name
        copied.parent.mkdir()
        return Path(shutil.copyfile(value, copied))
    return copy.deepcopy(value)


def examined(lesson: str, name: str, answers: list[str], code: str) -> tuple[int, list[str]]:
    """How many mutants of an exercise are mistakes, and those that its check lets pass."""
    with tempfile.TemporaryDirectory() as folder:
        return _examined(lesson, name, answers, code, Path(folder))


def _examined(
    lesson: str, name: str, answers: list[str], code: str, folder: Path
) -> tuple[int, list[str]]:
    check = getattr(checks_of(lesson), name)
    names = {**bound(lesson, True), **HELPERS}
    loss = "loss" in name
    calls: list = []

    def watched(function):
        @functools.wraps(function)
        def call(*arguments, **options):
            if len(calls) < 20:
                options_kept = {key: kept(value, folder) for key, value in options.items()}
                calls.append((tuple(kept(value, folder) for value in arguments), options_kept))
            return function(*arguments, **options)

        return call

    given = [watched(names[a]) if callable(names[a]) else names[a] for a in answers]
    if check.grade(*given).status != "ok":
        calls.clear()  # it looks into the function, and a watched one is another
    right = check.grade(*(names[answer] for answer in answers))
    assert right.status == "ok", f"{lesson}: the solution of {name} is not [ok]: {right}"
    mistakes, passed, seen = 0, [], set()
    for mutant in mutants(code, loss=loss):
        text = ast.unparse(mutant.tree)
        if text in seen or text == ast.unparse(ast.parse(code)):
            continue
        seen.add(text)
        changed = dict(names)
        try:
            exec(compile(mutant.tree, "<mutant>", "exec"), changed)
        except Exception:
            continue
        function = next(a for a in answers if callable(names[a]))
        if calls and not is_mistake(names[function], changed[function], calls, loss=loss):
            continue
        mistakes += 1
        try:
            with at_most(ENDLESS):
                status = check.grade(*[changed[answer] for answer in answers]).status
        except Endless:
            status = "endless"
        if status == "ok":
            passed.append(mutant.change)
    return mistakes, passed


def main() -> None:
    """Examine the lessons that are named, or all, and write the report."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    wanted = set(sys.argv[1:])
    rows, survivors, answers_too = [], [], []
    for lesson in [source.stem for source in course.lessons()]:
        if wanted and not any(
            {of[:2], name} & wanted for of, name, _ in EXERCISES if of == lesson
        ):
            continue
        cells = solved_cells(lesson)
        for of, name, answers in EXERCISES:
            if wanted and not {of[:2], name} & wanted:
                continue
            if of != lesson or not any(callable(bound(lesson, True)[a]) for a in answers):
                continue
            with redirect_stdout(io.StringIO()):
                mistakes, passed = examined(lesson, name, answers, cells[name])
            if name in BY_SCORE:
                others = [change for change in passed if SPOILS not in change]
                passed = [change for change in passed if SPOILS in change]
                mistakes -= len(others)
                answers_too += [
                    f"- {lesson[:2]} {name}, {BY_SCORE[name]}: `{change}`" for change in others
                ]
            share = 1 - len(passed) / max(mistakes, 1)
            short = "" if share >= AIM else "below the aim"
            rows.append(f"| {lesson[:2]} | {name} | {mistakes} | {share:.0%} | {short} |")
            print(rows[-1], flush=True)
            survivors += [f"- {lesson[:2]} {name}: `{change}`" for change in passed]
    REPORT.parent.mkdir(exist_ok=True)
    head = ["| lesson | exercise | mutants | rejected | |", "|---|---|---|---|---|"]
    text = "\n".join(["# Mutants", "", *head, *rows, "", "## What passes", "", *survivors, ""])
    if answers_too:
        text += "\n".join(
            ["", "## What reaches a score, and so is an answer", "", *answers_too, ""]
        )
    REPORT.write_text(text, encoding="utf-8")
    print(f"{len(survivors)} pass; they are in {REPORT.relative_to(course.ROOT)}")


if __name__ == "__main__":
    main()
