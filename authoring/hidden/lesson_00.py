"""Hidden tests of lesson 00, "Start here".

The form of these files is described in `authoring/classroom.py`.
"""


def test_mean_difference(function):
    """Random pictures, both ways round."""
    import numpy as np

    rng = np.random.default_rng()
    one, other = rng.integers(0, 256, (2, *rng.integers(3, 20, 2), 3), dtype=np.uint8)
    expected = np.abs(one.astype(float) - other).mean()
    np.testing.assert_allclose(function(one, other), expected, atol=0.01)
    np.testing.assert_allclose(function(other, one), expected, atol=0.01)
