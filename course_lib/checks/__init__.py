"""The exercises' checks: a module for each lesson, a function for each exercise.

>>> from course_lib.checks import lesson_05 as check
>>> check.keep_lightness(my_function)  # prints [todo], [ok] or [try again]
"""
