"""The workshop: what authors, teachers and publishers run. No learner needs it.

Each module is a script, run from the course's folder as ``python -m authoring.NAME``; `course`
and `markers` are what they share.
"""
