"""Damaged and foreign run files: one line, with the file's name and what to do."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from course_lib.models.eccv16 import ECCV16
from course_lib.training.__main__ import main
from course_lib.training.batches import Settings
from course_lib.training.classification import Classification, ClassificationSettings
from course_lib.training.loop import History, fit, load_checkpoint
from course_lib.training.runs import CONFIGS, load_array, load_run, read_config, stages_of
from tests import tiny_runs


def of_npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an array of pictures"),
        (b"\x93NUMPY\x01\x00", "not an array of pictures"),
        (b"\x93NUMPY\x01\x00\x76\x00{'descr': ((((((((", "not an array of pictures"),
        (b"PK\x03\x04", "not an array of pictures"),
        (of_npy(np.array([{}]), allow_pickle=True), "not an array of pictures"),
        (of_npy(np.zeros((2, 3, 8, 8), np.uint8))[:-1], "not an array of pictures"),
        (of_npy(np.zeros((0, 3, 8, 8), np.uint8)), "not an array of pictures|holds no pictures"),
        (of_npy(np.uint8(1)), r"expected \(N, 3, S, S\) uint8"),
        (of_npy(np.zeros((2, 8, 8, 3), np.uint8)), r"expected \(N, 3, S, S\) uint8"),
        (of_npy(np.zeros((2, 3, 8, 9), np.uint8)), r"expected \(N, 3, S, S\) uint8"),
        (of_npy(np.zeros((2, 3, 8, 8))), r"expected \(N, 3, S, S\) uint8"),
    ],
)
def test_an_array_that_is_none_of_pictures_is_refused(tmp_path, content, message):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_array(tmp_path / "a.npy")
    assert str(caught.value).startswith(f"{tmp_path / 'a.npy'}: ")


def test_several_arrays_in_one_file_and_no_file_at_all(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.zeros((2, 3, 8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"a\.npz: .*several arrays in one file"):
        load_array(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"b\.npy: cannot be read"):
        load_array(tmp_path / "b.npy")


GOOD = {"model": "eccv16", "width": 0.05, "steps": 3, "batch_size": 4}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "x"}, "no network called 'x'"),
        ({"model": ["eccv16"]}, "model must be a text or null"),
        ({"recipe": 3}, "recipe must be a text or null"),
        ({"recipe": "magic"}, "no recipe called 'magic'"),
        ({"rate": "fast"}, "rate must be a number, got 'fast'"),
        ({"rate": -1}, r"rate must be in 0\.\.inf, got -1"),
        ({"rate": float("nan")}, "rate must be a number, got nan"),
        ({"batch_size": 0}, r"batch_size must be in 1\.\."),
        ({"batch_size": 2.5}, "batch_size must be a whole number, got 2.5"),
        ({"batch_size": True}, "batch_size must be a whole number, got True"),
        ({"steps": None}, "steps must be a whole number, got None"),
        ({"seed": 10**30}, "seed must be in"),
        ({"neighbours": 0}, r"neighbours must be in 1\.\.313"),
        ({"lam": 1.5}, r"lam must be in 0\.\.1"),
        ({"width": "wide"}, "width must be a number, got 'wide'"),
        ({"width": 10**9}, "width must be in"),
        ({"stages": []}, "stages must be at least one"),
        ({"stages": {}}, "stages must be a list"),
        ({"stages": [3]}, "a stage must be an object"),
        ({"stages": [{"recipe": "x"}]}, "no recipe called 'x'"),
        ({"freeze": "model1"}, "freeze must be a list"),
        ({"freeze": [1]}, "a block to freeze must be a text"),
        ({"rates": [1]}, "rates must be an object, in braces or null"),
        ({"train": 3}, "train must be a text or an object"),
        ({"speed": 3}, "no settings called speed"),
    ],
)
def test_a_config_is_checked_by_name_type_and_range(tmp_path, change, message):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(GOOD | change))
    with pytest.raises(ValueError, match=message) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_what_a_config_leaves_out_is_as_the_settings_have_it(tmp_path):
    (tmp_path / "c.json").write_bytes(b"\xef\xbb\xbf" + b'{"model": "eccv16"}')  # from Windows
    (stage,) = stages_of(read_config(tmp_path / "c.json"))
    defaults = ClassificationSettings()
    assert (stage["steps"], stage["lam"]) == (defaults.steps, defaults.lam)
    for content in (b"", b"\xff\xfe{", b"[" * 100_000, b"3"):
        (tmp_path / "c.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"c\.json: not a config"):
            read_config(tmp_path / "c.json")
    (tmp_path / "c.json").write_text(json.dumps({"recipe": "gan", "game": {}}))
    assert len(stages_of(read_config(tmp_path / "c.json"))) == 2


def test_every_shipped_config_is_accepted():
    for path in CONFIGS.glob("*.json"):
        assert stages_of(read_config(path)), path


def test_settings_are_checked_in_a_notebook_too():
    for wrong in ({"batch_size": 0}, {"rate": "x"}, {"zoom": 0.5}, {"size": 1.5}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Settings(**wrong)
    assert Settings(batch_size=np.int64(4), rate=np.float32(0.5)).batch_size == 4


@pytest.fixture(scope="module")
def trained(tiny_codes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    tiny_runs.train("eccv16", tiny_codes, folder)
    return folder


def without(key):
    def change(state):
        del state[key]

    return change


def as_zero(*keys):
    def change(state):
        for key in keys[:-1]:
            state = state[key]
        state[keys[-1]] = 0

    return change


def of_another_shape(state):
    moments = state["recipe"]["optimizer"]["state"]
    for one in moments.values():
        one["exp_avg"] = one["exp_avg"].flatten()[:1]


@pytest.mark.parametrize(
    "change",
    [
        *(without(key) for key in ("recipe", "plan", "step", "rows", "sums", "stage_step")),
        *(as_zero(key) for key in ("recipe", "plan", "rows")),
        as_zero("recipe", "network"),
        as_zero("recipe", "optimizer"),
        as_zero("recipe", "average"),
        lambda state: state["recipe"].pop("schedule"),
        lambda state: state["recipe"]["network"].popitem(),
        lambda state: state.update(step=-1),
        lambda state: state.update(stage=7),
        lambda state: state.update(rows=[3]),
        of_another_shape,
    ],
)
def test_a_foreign_checkpoint_is_refused_by_name(tiny_codes, tmp_path, trained, change):
    state = torch.load(trained / "checkpoint.pt", weights_only=True)
    change(state)
    torch.save(state, tmp_path / "checkpoint.pt")
    (tmp_path / "config.json").write_bytes((trained / "config.json").read_bytes())
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(ValueError, match="train") as caught:
        tiny_runs.train("eccv16", tiny_codes, tmp_path)
    assert str(tmp_path / "checkpoint.pt") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_a_damaged_checkpoint_is_one_line_of_each_command(tiny_codes, tmp_path, trained, capsys):
    np.save(tmp_path / "a.npy", tiny_codes)
    content = (trained / "checkpoint.pt").read_bytes()
    (tmp_path / "config.json").write_bytes((trained / "config.json").read_bytes())
    common = ["--validation", str(tmp_path / "a.npy"), "--run", str(tmp_path)]
    for damaged in (b"", b"no checkpoint", content[:-100], content[: len(content) // 2]):
        (tmp_path / "checkpoint.pt").write_bytes(damaged)
        config = str(tmp_path / "config.json")
        for command in (
            ["export", *common, "--output", str(tmp_path / "x.safetensors")],
            ["choose", *common, "--output", str(tmp_path / "x.csv")],
            ["eccv16", *common, "--train", str(tmp_path / "a.npy"), "--config", config],
        ):
            assert main(command) == 2
            error = capsys.readouterr().err
            assert error.count("\n") == 1 and f"{tmp_path / 'checkpoint.pt'}: " in error, command
    assert sorted(path.suffix for path in tmp_path.iterdir() if path.suffix) == [
        *(".json", ".npy", ".pt"),
    ]


def test_a_checkpoint_from_a_graphics_card_goes_on_without_one(
    tiny_codes, tmp_path, trained, monkeypatch
):
    # as torch.save writes tensors that lie on a card
    state = torch.load(trained / "checkpoint.pt", weights_only=True)
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
    torch.save(state, tmp_path / "checkpoint.pt")
    monkeypatch.undo()
    assert b"cuda:0" in (tmp_path / "checkpoint.pt").read_bytes()
    (tmp_path / "config.json").write_bytes((trained / "config.json").read_bytes())
    network, _, _ = load_run(tmp_path)
    assert next(network.parameters()).device.type == "cpu"
    tiny_runs.train("eccv16", tiny_codes, tmp_path)
    assert tiny_runs.outcome(tmp_path) == tiny_runs.outcome(trained)


def test_a_refused_run_leaves_the_folders_config_as_it_was(tiny_codes, tmp_path):
    tiny_runs.train("l1", tiny_codes, tmp_path)
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(ValueError, match="is one of Reconstruction, not of Classification"):
        tiny_runs.train("eccv16", tiny_codes, tmp_path)
    assert (tmp_path / "config.json").read_bytes() == before


@pytest.mark.parametrize("name", ["eccv16", "siggraph17", "l1", "gan", "finetune"])
def test_nan_ends_every_training_with_the_last_good_checkpoint(
    tiny_codes, tmp_path, monkeypatch, name
):
    original, calls = torch.optim.AdamW.step, iter(range(2))

    def step(optimizer):
        original(optimizer)
        if next(calls, None) is None:
            with torch.no_grad():
                optimizer.param_groups[0]["params"][0].fill_(float("nan"))

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(FloatingPointError, match=r"step \d: .* not finite"):
        tiny_runs.train(name, tiny_codes, tmp_path, checkpoint_seconds=0)
    state = load_checkpoint(tmp_path / "checkpoint.pt")
    assert state["step"] >= 1
    for name, part in state["recipe"].items():
        for key, value in part.items():
            if isinstance(value, torch.Tensor):
                assert value.isfinite().all(), (name, key)


def test_intervals_below_one_are_refused(tiny_codes, capsys):
    settings = ClassificationSettings(steps=2, batch_size=4, precision="float32")
    recipe = Classification(ECCV16(0.05), tiny_codes, tiny_codes[:4], replace(settings))
    for name in ("record_every", "evaluate_every"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            fit(recipe, 2, **{name: 0}, progress=False)
    with pytest.raises(SystemExit):
        main(["gan", "--train", "a", "--validation", "a", "--run", "r", "--evaluate-every", "0"])
    assert "expected at least 1, got 0" in capsys.readouterr().err


def test_a_history_that_is_none_is_refused_by_name(tmp_path):
    path = tmp_path / "history.csv"
    for content in (b"step,loss\n1,x\n", b"\xff\xfe\x00", b"step\n1,2,3\n"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"history\.csv: not the history of a run"):
            History.load_csv(path)
