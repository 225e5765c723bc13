"""Marking with nbgrader, out of the reach of what is marked. `class_config.py` uses it.

A submission's notebook runs in a process of its own, in a folder of its own, confined to it
(`confine`). Its test cells run there too, for what they print. The marks are not made there: this
process, nbgrader's, asks the other one for plain data (`plain`) and compares here.

- A value, such as a prediction, is fetched and given to the lesson's check.
- A function is called through the pipe by its hidden tests, which run here. Beside them the check
  must have said [ok] over there.

So a submission can do to its process what it likes: what it sends are numbers and texts, and they
are right or not.
"""

import ast
import functools
import os
import re
import shutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader.preprocessors import Execute
from nbgrader.utils import is_grade

from authoring import confine, plain
from authoring.classroom import HIDDEN_TESTS, called, hidden_test

#: What a kernel is told of the teacher's environment.
ENVIRONMENT = re.compile(
    r"PATH|LANG|LC_.*|TZ|SYSTEMROOT|(OMP|MKL)_NUM_THREADS|COURSE_(OFFLINE|PROGRESS)"
)


class WrongAnswerError(Exception):
    """What a submission gave is no answer; the message says why."""


class RunApart(Execute):
    """Execute a submission apart, and judge it from here."""

    def preprocess(self, nb, resources, km=None):
        """Run a notebook; its test cells end up with the outputs that decide about its points."""
        if not confine.landlock_version():
            self.log.warning(
                "this system cannot keep a submission from your files; TEACHING.md says how to "
                "mark in a container"
            )
        self._verdicts: dict[int, list[NotebookNode]] = {}
        submitted = resources["metadata"].get("path")
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            self._folder = Path(folder).resolve()
            (self._folder / "tmp").mkdir()
            work = self._folder / "work"
            if submitted:
                # Not the notebook, where hidden tests are, nor what links lead to.
                shutil.copytree(
                    submitted, work, symlinks=True, ignore=shutil.ignore_patterns("*.ipynb")
                )
            else:
                work.mkdir()
            resources["metadata"]["path"] = str(work)
            try:
                nb, resources = super().preprocess(nb, resources, km)
            finally:
                resources["metadata"]["path"] = submitted
        # Only now, when no process is left that could change an output after the fact.
        for index, outputs in self._verdicts.items():
            nb.cells[index].outputs = outputs
        return nb, resources

    def create_kernel_manager(self):
        """A kernel that `confine` starts, whatever the notebook asks for."""
        self.kernel_name = "python3"
        manager = super().create_kernel_manager()
        manager.connection_file = str(self._folder / "kernel.json")
        manager.kernel_spec.argv = [
            *(sys.executable, confine.__file__, str(self._folder)),
            *("-f", "{connection_file}"),
        ]
        return manager

    async def async_start_new_kernel(self, **options):
        """Start it with an environment that names no other folder of the teacher's."""
        environment = {k: v for k, v in os.environ.items() if ENVIRONMENT.fullmatch(k)}
        home, scratch = str(self._folder), str(self._folder / "tmp")
        environment |= dict.fromkeys(("HOME", "USERPROFILE", "XDG_CACHE_HOME"), home)
        environment |= dict.fromkeys(("TMPDIR", "TEMP", "TMP", "MPLCONFIGDIR"), scratch)
        environment |= {"IPYTHONDIR": scratch, "NBGRADER_EXECUTION": "autograde"}
        await super().async_start_new_kernel(env=environment, **options)

    def preprocess_cell(self, cell, resources, index):
        """Run a cell; judge what a test cell asks for."""
        if not is_grade(cell) or cell.cell_type != "code":
            return super().preprocess_cell(cell, resources, index)
        whole = cell.source
        hidden = HIDDEN_TESTS.search(whole)
        cell.source = HIDDEN_TESTS.sub("", whole)
        cell, resources = super().preprocess_cell(cell, resources, index)
        failed = any(output.output_type == "error" for output in cell.outputs)
        # What was printed is for the reader; whatever else there is could count as points.
        shown = [output for output in cell.outputs if output.get("name") == "stdout"]
        try:
            self._judge(cell.source, hidden and hidden[1], failed)
        except Exception as error:  # the verdict, or whatever an answer made a test raise
            what, why = type(error).__name__, str(error)
            lines = f"{what}: {why}".splitlines()
            shown.append(new_output("error", ename=what, evalue=why, traceback=lines))
        cell.source = whole
        self._verdicts[index] = shown
        return cell, resources

    def _judge(self, source: str, hidden: str | None, failed: bool) -> None:
        name, answers = called(source[: source.index("\nassert ")])
        if hidden:
            if failed:
                raise WrongAnswerError("the check does not say [ok]")
            ask, test = hidden_test(hidden)
            test(*(functools.partial(self._call, answer, ask) for answer in answers))
            return
        (module,) = re.findall(r"^from course_lib\.checks import (\w+) as check$", source, re.M)
        check = getattr(import_module(f"course_lib.checks.{module}"), name)
        result = check.grade(*(self._ask({"answer": answer, "call": False}) for answer in answers))
        if result.status != "ok":
            raise WrongAnswerError(str(result))

    def _call(self, answer: str, ask: str | None, *arguments: Any, **options: Any) -> Any:
        """What a function returns."""
        question = {"answer": answer, "call": True, "through": ask}
        return self._ask(question | {"arguments": arguments, "options": options})

    def _ask(self, question: dict[str, Any]) -> Any:
        source = Path(plain.__file__).read_text(encoding="utf-8")
        told = f"get_ipython().user_ns, {plain.dumps(question)!r}"
        expression = f"(lambda n: (exec({source!r}, n), n['answer']({told}))[1])({{}})"
        reply = self.wait_for_reply(
            self.kc.execute("", silent=True, user_expressions={"answer": expression})
        )
        try:
            shown = reply["content"]["user_expressions"]["answer"]["data"]["text/plain"]
            reply = plain.loads(ast.literal_eval(shown))
            if "value" in reply:
                return reply["value"]
            reason = str(reply["error"])
        except (
            TypeError,
            KeyError,
            ValueError,
            SyntaxError,
            MemoryError,
            RecursionError,
        ) as error:
            reason = f"no answer came back ({error!r})"
        raise WrongAnswerError(f"{question['answer']}: {reason}")
