"""nbgrader's settings for a course folder that `make class` has made.

`make class` puts a copy of this file there, as nbgrader_config.py, where nbgrader finds it. See
https://nbgrader.readthedocs.io for all that can be set.
"""

import os
import re
import sys
from pathlib import Path

from nbgrader.converters import Autograde, GenerateAssignment
from nbgrader.preprocessors import ClearSolutions, Execute, OverwriteCells

from authoring.marking import RunApart

c = get_config()  # noqa: F821, nbgrader runs this file with it

# nbgrader calls its helper alembic by name; so it is found without activating the environment too.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

# Marking leaves the teacher's own progress alone.
os.environ["COURSE_PROGRESS"] = ""

# Against answers that never end. The longest cell of a lesson takes about a minute on two ordinary
# processor cores, and a busy machine may take many times that.
c.RunApart.timeout = 600
c.RunApart.startup_timeout = 600
c.RunApart.iopub_timeout = 600

# A submission may hold a web page's code, which feedback and formgrader would run in your browser.
c.HTMLExporter.sanitize_html = True

# Without this a warning would cost an answer its points, as everything on stderr does.
c.IgnorePattern.enabled = True
c.IgnorePattern.pattern = "."

#: A solution, with what learners get in its place.
STUB = re.compile(
    r"^[ \t]*### BEGIN SOLUTION\n.*?^[ \t]*### STUB\n(.*?)^[ \t]*### END SOLUTION\n?", re.M | re.S
)


class ClearToStubs(ClearSolutions):
    """Put the stub that follows ``### STUB``, commented out, in the solution's place.

    Where learners are to find a bug, it is the faulty code. Solutions without such a line are
    cleared as nbgrader always does.
    """

    def preprocess_cell(self, cell, resources, cell_index):
        """Clear one cell."""
        released, count = STUB.subn(
            lambda match: re.sub(r"^([ \t]*)# ?", r"\1", match[1], flags=re.M), cell.source + "\n"
        )
        if not count:
            return super().preprocess_cell(cell, resources, cell_index)
        cell.source = released.rstrip("\n")
        return cell, resources


class RestoreTests(OverwriteCells):
    """Put the tests of a submission back as they were, wherever they were changed or deleted.

    nbgrader's own way of adding deleted tests gives up where the exercise was deleted with them.
    """

    def preprocess_cell(self, cell, resources, cell_index):
        """Restore one cell, or let go of one that is a copy or has another's name."""
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        if not cell.metadata.get("nbgrader", {}).get("grade_id"):
            cell.metadata.pop("nbgrader", None)
        return cell, resources

    def add_missing_grade_cells(self, nb, resources):
        """Add each deleted test after what was before it in the assignment."""
        notebook = self.gradebook.find_notebook(self.notebook_id, self.assignment_id)
        points = {cell.name: cell.max_score for cell in notebook.grade_cells}
        place = -1
        for cell in notebook.source_cells:
            present = [c.metadata.get("nbgrader", {}).get("grade_id") for c in nb.cells]
            if cell.name in present:
                place = present.index(cell.name)
            elif cell.name in points:
                place += 1
                nb.cells.insert(place, self.missing_cell_transform(cell, points[cell.name]))
        return nb, resources


c.RestoreTests.add_missing_cells = True

c.GenerateAssignment.preprocessors = [
    ClearToStubs if step is ClearSolutions else step
    for step in GenerateAssignment.preprocessors.default()
]
c.Autograde.sanitize_preprocessors = [
    RestoreTests if step is OverwriteCells else step
    for step in Autograde.sanitize_preprocessors.default()
]
c.Autograde.autograde_preprocessors = [
    RunApart if step is Execute else step for step in Autograde.autograde_preprocessors.default()
]
