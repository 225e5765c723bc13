"""Hidden tests of lesson 07, "Teach a trained network a new domain".

The form of these files is described in `authoring/classroom.py`. Exercise 4 asks for an order and
exercise 6 for a prediction; they have none.
"""


def ask_load_backbone(function, file, width, temperature):
    """What a file with these entries is loaded as; None if that is refused."""
    import tempfile
    from pathlib import Path

    import torch

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save(file, path)
        try:
            network = function(path, width, temperature)
        except Exception:  # any error will do
            return None
    return dict(network.state_dict()), network.temperature, network.training


def test_load_backbone(function):
    """Files of random weights, with the prefix and without; then each lacks an entry."""
    import numpy as np
    import torch

    from course_lib.models.eccv16 import ECCV16

    rng = np.random.default_rng()
    width, temperature = (float(rng.uniform(*ends)) for ends in ((0.03, 0.08), (0.2, 0.9)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        # each file is tried without an entry of these kinds; PyTorch would make up counters
        kinds = {"module.": ("weight", "running_var"), "": ("bias", "running_mean")}
        for prefix in kinds:
            state = {
                name: torch.rand_like(value) if value.is_floating_point() else value + 3
                for name, value in ECCV16(width).state_dict().items()
            }
            file = {prefix + name: value for name, value in state.items()}
            got = function(file, width, temperature)
            assert got is not None, f"names that begin with {prefix!r}: an error"
            loaded, its_temperature, training = got
            differ = [name for name in state if not torch.equal(loaded[name], state[name])]
            assert not differ, f"names that begin with {prefix!r}: not loaded were {differ}"
            assert its_temperature == temperature, "the temperature is not the one given"
            assert training is False, "the network is not in evaluation mode"
            for kind in kinds[prefix]:
                lacking = str(rng.choice([name for name in file if name.endswith(kind)]))
                short = {name: value for name, value in file.items() if name != lacking}
                refused = function(short, width, temperature) is None
                assert refused, f"a file that lacks {lacking} was taken without an error"


def ask_freeze_blocks(function, weights, frozen, pictures):
    """A step of training of twelve blocks with some frozen: what is there after it."""
    from collections import OrderedDict

    import torch
    from torch import nn

    def block():
        return nn.Sequential(
            nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Sequential(nn.Dropout(0.2), nn.PReLU())
        )

    network = nn.Sequential(OrderedDict((f"block{n}", block()) for n in range(1, 13))).train()
    network.load_state_dict(weights)
    function(network, frozen)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    network(pictures).sin().mean().backward()
    optimizer.step()
    return {
        name: {
            "weights": {f"{name}.{key}": value for key, value in part.state_dict().items()},
            "modes": {module.training for module in part.modules()},
            "learns": {parameter.requires_grad for parameter in part.parameters()},
        }
        for name, part in network.named_children()
    }


def test_freeze_blocks(function):
    """Some of twelve blocks, "block1" among them, but not "block10"; then a step of training."""
    from collections import OrderedDict

    import numpy as np
    import torch
    from torch import nn

    rng = np.random.default_rng()

    def block():
        return nn.Sequential(
            nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Sequential(nn.Dropout(0.2), nn.PReLU())
        )

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        network = nn.Sequential(OrderedDict((f"block{n}", block()) for n in range(1, 13)))
        pictures = torch.rand(8, 3, 4, 4) + 3
    frozen = ["block1", *(f"block{n}" for n in range(2, 10) if rng.random() < 0.5)]
    rng.shuffle(frozen)
    before = dict(network.state_dict())
    after = function(before, frozen, pictures)
    for name in (f"block{n}" for n in range(1, 13)):
        got = after[name]
        old = {key: value for key, value in before.items() if key.startswith(f"{name}.")}
        same = all(torch.equal(value, got["weights"][key]) for key, value in old.items())
        if name in frozen:
            assert got["learns"] == {False}, f"{name} of {frozen} still asks for gradients"
            assert same, f"{name} of {frozen} changed in a step of training"
            assert got["modes"] == {False}, f"{name} of {frozen} is still in training mode"
        else:
            assert got["learns"] == {True}, f"{name} is frozen, but was not named in {frozen}"
            assert got["modes"] == {True}, f"{name} is in evaluation mode, not named in {frozen}"
            assert not same, f"{name} did not learn, but was not named in {frozen}"


def test_best_and_stop(function):
    """Random losses, small and large, with equal ones, measurement by measurement."""
    import numpy as np

    rng = np.random.default_rng()
    for _ in range(100):
        levels = rng.integers(1, 9, int(rng.integers(1, 15)))
        losses = (levels * 10 ** rng.uniform(-3, 3)).tolist()
        patience = int(rng.integers(1, 6))
        best, waited = 0, 0
        for i, loss in enumerate(losses):
            if loss < losses[best] or i == 0:
                best, waited = i, 0
            else:
                waited += 1
        got = tuple(function(list(losses), patience))
        expected = (best, waited >= patience)
        assert got == expected, f"{losses}, patience {patience}: expected {expected}, got {got}"


def test_split_files(function):
    """Random numbers of files and shares, and as many splits as there are seeds."""
    from pathlib import Path

    import numpy as np

    rng = np.random.default_rng()
    for part in (rng.uniform(0.1, 0.4), rng.uniform(0.6, 0.9)):  # of a file: down, and up
        paths = [Path(f"set/{n:03}.png") for n in range(int(rng.integers(24, 31)))]
        share = (int(rng.integers(7, 15)) + part) / len(paths)
        case = f"{len(paths)} files, share {share:.4f}"
        held = []
        for seed in rng.integers(2**31, size=60).tolist():
            train, held_out = map(list, function(list(paths), share, seed))
            assert sorted(train + held_out) == paths, f"{case}: files are lost, or on both sides"
            assert len(held_out) == round(share * len(paths)), (
                f"{case}: expected {round(share * len(paths))} held out, got {len(held_out)}"
            )
            again = tuple(map(list, function(list(paths), share, seed)))
            assert again == (train, held_out), f"{case}: seed {seed} gives two different splits"
            held.append(frozenset(held_out))
        # a piece of the sorted folder, wherever it begins, gives no more sets than there are files
        assert len(set(held)) > len(paths), f"{case}: 60 seeds give {len(set(held))} splits only"
        assert frozenset.union(*held) == set(paths), f"{case}: some files are never held out"


def test_regions_apart(function):
    """Random pairs of rectangles, pixel by pixel."""
    import numpy as np

    rng = np.random.default_rng()
    seen = set()
    for _ in range(300):
        one, other = (
            tuple(int(x) for side in range(2) for x in np.sort(rng.choice(26, 2, replace=False)))
            for _ in range(2)
        )
        gap = int(rng.integers(0, 6))
        grown = np.zeros((46, 46), bool)  # the first region and all that is nearer than the gap
        top, bottom, left, right = (x + 10 for x in one)
        grown[top - gap : bottom + gap, left - gap : right + gap] = True
        top, bottom, left, right = (x + 10 for x in other)
        expected = not grown[top:bottom, left:right].any()
        seen.add(expected)
        got = function(one, other, gap)
        assert bool(got) == expected, f"{one}, {other}, gap {gap}: expected {expected}, got {got}"
    assert seen == {True, False}


def test_colour_tissue(function):
    """Tissue of two random stains, dark and light: the answer is to beat one colour for all."""
    import numpy as np

    rng = np.random.default_rng()
    dark, light = rng.uniform(15, 60, 2) * [1, -1], rng.uniform(-8, 8, 2)

    def stained(count):
        stain = rng.random((count, 1, 12, 12)) < 0.5
        L = np.where(stain, 35, 85) + rng.normal(0, 4, stain.shape)
        ab = np.where(stain, dark[:, None, None], light[:, None, None])
        return L.astype(np.float32), (ab + rng.normal(0, 2, ab.shape)).astype(np.float32)

    known_L, known_ab = stained(12)
    L, ab = stained(4)
    got = np.asarray(function(L.copy(), known_L.copy(), known_ab.copy()))
    assert got.shape == ab.shape, f"expected shape {ab.shape}, got {got.shape}"
    one = np.linalg.norm(known_ab.mean(axis=(0, 2, 3), keepdims=True) - ab, axis=1).mean()
    mine = np.linalg.norm(got - ab, axis=1).mean()
    assert mine < one, f"an error of {mine:.1f}, against {one:.1f} for one colour"
