import numpy as np
import pytest

from tests import winrule

pytestmark = pytest.mark.skipif(not winrule._MAPPED.exists(), reason="this system has no /proc")


@pytest.fixture(autouse=True)
def _rule(request):
    winrule.pytest_configure(request.config)


def test_a_file_that_is_open_or_mapped_stays_where_it_is(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((4, 4)))
    for hold in (lambda: path.open("rb"), lambda: np.load(path, mmap_mode="r")):
        held = hold()
        with pytest.raises(PermissionError, match=r"still (open|mapped)"):
            path.unlink()
        with pytest.raises(PermissionError, match=r"still (open|mapped)"):
            path.rename(tmp_path / "b.npy")
        (tmp_path / "other").touch()
        with pytest.raises(PermissionError, match=r"still (open|mapped)"):
            (tmp_path / "other").replace(path)
        if hasattr(held, "close"):
            held.close()
        del held
    path.unlink()
    assert not path.exists()
