"""The issue forms: GitHub takes them, and they ask for what helps.

GitHub shows a form that it cannot read to nobody, and tells only whoever opens its file there. The
fields are those of its documentation, "Syntax for issue forms" and "Syntax for GitHub's form
schema".
"""

import re

import pytest
import yaml

from authoring import course
from authoring.course import ROOT

FOLDER = ROOT / ".github" / "ISSUE_TEMPLATE"
FORMS = sorted(path for path in FOLDER.glob("*.yml") if path.name != "config.yml")

TOP = {"name", "description", "title", "labels", "assignees", "projects", "type", "body"}
#: For each kind of element: attributes that it must have, and that it may have.
ATTRIBUTES = {
    "markdown": ({"value"}, set()),
    "input": ({"label"}, {"description", "placeholder", "value"}),
    "textarea": ({"label"}, {"description", "placeholder", "value", "render"}),
    "dropdown": ({"label", "options"}, {"description", "multiple", "default"}),
    "checkboxes": ({"label", "options"}, {"description"}),
}

each_form = pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def element(form, name):
    return next(part for part in form["body"] if part.get("id") == name)


@each_form
def test_github_takes_the_form(path):
    form = read(path)
    assert {"name", "description", "body"} <= form.keys() <= TOP
    assert all(isinstance(form[key], str) and form[key].strip() for key in ("name", "description"))
    assert all(isinstance(label, str) for label in form.get("labels", []))
    assert any(part["type"] != "markdown" for part in form["body"])
    for part in form["body"]:
        assert {"type", "attributes"} <= part.keys() <= {"type", "id", "attributes", "validations"}
        must, may = ATTRIBUTES[part["type"]]
        assert must <= part["attributes"].keys() <= must | may, part
        if part["type"] == "markdown":
            assert "id" not in part and "validations" not in part
            continue
        assert re.fullmatch(r"[A-Za-z0-9_-]+", part["id"])
        assert part.get("validations", {}).keys() <= {"required"}
        options = part["attributes"].get("options", [])
        if part["type"] == "dropdown":
            assert options and all(isinstance(option, str) for option in options)
            assert "None" not in options  # GitHub adds it, and refuses a second
        if part["type"] == "checkboxes":
            assert all({"label"} <= box.keys() <= {"label", "required"} for box in options)
            assert "validations" not in part  # each box has its own
    ids = [part["id"] for part in form["body"] if "id" in part]
    labels = [p["attributes"]["label"] for p in form["body"] if "label" in p["attributes"]]
    assert len(ids) == len(set(ids)) and len(labels) == len(set(labels))


def test_names_differ_and_a_report_goes_through_a_form():
    names = [read(path)["name"] for path in FORMS]
    assert len(names) == len(set(names)) == 3
    assert read(FOLDER / "config.yml") == {"blank_issues_enabled": False}


def test_a_report_of_something_that_fails_must_bring_the_environment_check():
    form = read(FOLDER / "1-does-not-work.yml")
    asked = element(form, "environment")
    command = re.search(r"`python (\S+\.py)`", asked["attributes"]["description"])[1]
    assert (ROOT / command).is_file()
    assert {"environment", "lesson", "system", "what"} <= {
        part["id"] for part in form["body"] if part.get("validations", {}).get("required")
    }
    assert element(form, "section")
    for page in re.findall(r"notebooks/\w+\.md", form["body"][0]["attributes"]["value"]):
        assert (ROOT / page).is_file()


@pytest.mark.parametrize("name", ["1-does-not-work", "2-mistake-in-a-lesson"])
def test_every_lesson_can_be_chosen(name):
    options = element(read(FOLDER / f"{name}.yml"), "lesson")["attributes"]["options"]
    numbers = [option[:2] for option in options if option[:2].isdigit()]
    assert {path.stem[:2] for path in course.lessons()} <= set(numbers)
    assert numbers == sorted(set(numbers))
