"""What a lesson defines, without running the whole of it."""

import ast

import jupytext

from authoring import build, course


def defined_in(lesson: str, *, solved: bool = True) -> dict:
    """Names that a lesson's imports, definitions and exercises bind.

    Parameters
    ----------
    lesson : str
        For example "05_inference".
    solved : bool
        With the solutions; False: with the learners' stubs.

    Returns
    -------
    dict
        Name to value: modules, functions, classes, and what exercise cells assign.
    """
    names: dict = {}
    answers: dict = {}
    for cell in jupytext.read(course.LESSONS / f"{lesson}.py").cells:
        if cell.cell_type != "code":
            continue
        code = cell.source
        if "exercise" in course.tags(cell):
            before = dict(names)
            exec(build.show_solution(code) if solved else build.clear_solution(code), names)
            answers |= {key: v for key, v in names.items() if before.get(key) is not v}
            continue
        # other cells may train or draw for seconds: only what they define is wanted
        kept = [
            node
            for node in ast.parse(code).body
            if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)
        ]
        exec(compile(ast.Module(kept, []), lesson, "exec"), names)
    names.update(answers)  # a lesson may go on to import the library's function of that name
    return names
