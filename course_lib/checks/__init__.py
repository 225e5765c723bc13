"""The exercises' checks: a module for each lesson, a function for each exercise.

`report` is how a check speaks, `answers` what the checks share.

>>> from course_lib.checks import lesson_05 as check
>>> check.keep_lightness(my_function)  # prints [todo], [ok] or [try again]
"""
