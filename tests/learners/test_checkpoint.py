import errno
import os

import numpy as np
import pytest
import torch

from learners.checkpoint import VERSION, CheckpointError, _digest, load_checkpoint, save_checkpoint

STATE = {
    "policy": {"weight": torch.arange(6.0).view(2, 3)},
    "optimiser": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"betas": (0.9, 0.999), "name": None}]},
    "flag": True,
    "count": 12,
    "note": "naïve",
}


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_what_was_saved_comes_back(tmp_path):
    save_checkpoint(tmp_path / "new" / "checkpoints", 7, STATE)
    step, state = load_checkpoint(tmp_path / "new" / "checkpoints")
    assert step == 7
    assert torch.equal(state["policy"].pop("weight"), STATE["policy"]["weight"])
    assert state["optimiser"] == STATE["optimiser"]
    assert (state["flag"], state["count"], state["note"]) == (True, 12, "naïve")


def test_it_can_be_read_without_twoclips(tmp_path):
    path = save_checkpoint(tmp_path, 7, STATE)
    whole = torch.load(path, weights_only=True)
    assert (whole["format"], whole["version"], whole["step"]) == ("twoclips checkpoint", VERSION, 7)


def test_a_module_is_saved_as_tensors_without_its_neighbours_storage(tmp_path):
    big = torch.zeros(1_000_000)
    path = save_checkpoint(tmp_path, 0, {"view": torch.nn.Parameter(big[:10])})
    assert path.stat().st_size < 10_000
    assert type(load_checkpoint(tmp_path)[1]["view"]) is torch.Tensor


def test_the_newest_few_are_kept(tmp_path):
    for step in (9, 10, 100, 1000):
        save_checkpoint(tmp_path, step, {"step": step}, keep=2)
    assert len(names(tmp_path)) == 2
    assert load_checkpoint(tmp_path) == (1000, {"step": 1000})


def test_the_same_step_again_replaces_it_and_an_earlier_step_drops_the_abandoned_ones(tmp_path):
    save_checkpoint(tmp_path, 5, {"try": 1})
    save_checkpoint(tmp_path, 9, {"try": 1})
    save_checkpoint(tmp_path, 9, {"try": 2})
    assert load_checkpoint(tmp_path) == (9, {"try": 2})
    save_checkpoint(tmp_path, 7, {"try": 3})
    assert load_checkpoint(tmp_path) == (7, {"try": 3})
    assert len(names(tmp_path)) == 2


def test_foreign_files_beside_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "checkpoint-best.pt").write_text("mine too")
    for step in range(5):
        save_checkpoint(tmp_path, step, {}, keep=1)
    assert "notes.txt" in names(tmp_path)
    assert "checkpoint-best.pt" in names(tmp_path)
    assert load_checkpoint(tmp_path)[0] == 4


@pytest.mark.parametrize("value", [np.float64(1.0), np.zeros(2), {1, 2}, object(), torch.nn.Linear(1, 1)])
def test_only_tensors_and_plain_values_are_saved(tmp_path, value):
    with pytest.raises(TypeError, match=r"state\.a\[1\] is a "):
        save_checkpoint(tmp_path, 0, {"a": [0, value]})
    assert names(tmp_path) == []


def test_no_checkpoint_at_all(tmp_path):
    with pytest.raises(CheckpointError, match="holds no checkpoint of twoclips; give the folder"):
        load_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize("damage", ["cut short", "one byte changed", "emptied"])
def test_a_damaged_newest_is_said_and_the_older_whole_one_named(tmp_path, damage):
    older = save_checkpoint(tmp_path, 1, {"x": 1})
    newest = save_checkpoint(tmp_path, 2, {"x": 2})
    contents = bytearray(newest.read_bytes())
    if damage == "cut short":
        contents = contents[: len(contents) // 2]
    elif damage == "emptied":
        contents = bytearray()
    else:
        contents[len(contents) // 2] ^= 1
    newest.write_bytes(contents)
    with pytest.raises(CheckpointError, match=f"{newest.name} is damaged .* the older {older.name} is whole"):
        load_checkpoint(tmp_path)
    save_checkpoint(tmp_path, 1, {"x": 3})
    assert load_checkpoint(tmp_path) == (1, {"x": 3})


def test_when_none_is_whole_there_is_nothing_to_fall_back_to(tmp_path):
    for step in (1, 2):
        save_checkpoint(tmp_path, step, {}).write_bytes(b"")
    with pytest.raises(CheckpointError, match="no older one is whole"):
        load_checkpoint(tmp_path)


def foreign(folder, contents):
    (folder / f"checkpoint-{3:012d}-{_digest(contents)}.pt").write_bytes(contents)


def test_a_foreign_file_with_a_right_digest_is_refused(tmp_path):
    foreign(tmp_path, b"not a torch file")
    with pytest.raises(CheckpointError, match="was not written by twoclips"):
        load_checkpoint(tmp_path)


class Trap:
    def __reduce__(self):
        return (os.system, ("echo sprung > trap",))


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "raw"
    torch.save({"format": "twoclips checkpoint", "version": 1, "step": 1, "state": Trap()}, path)
    foreign(tmp_path, path.read_bytes())
    with pytest.raises(CheckpointError, match="was not written by twoclips"):
        load_checkpoint(tmp_path)
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("version", [VERSION - 1, VERSION + 1])
def test_another_format_version_is_refused(tmp_path, version):
    path = tmp_path / "raw"
    torch.save({"format": "twoclips checkpoint", "version": version}, path)
    foreign(tmp_path, path.read_bytes())
    with pytest.raises(CheckpointError, match=f"has format version {version}, this twoclips reads {VERSION}"):
        load_checkpoint(tmp_path)


def test_a_full_disk_is_one_sentence_and_what_was_there_stays(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, {"x": 1})
    before = names(tmp_path)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="the disk is full; free at least 1 MiB and resume"):
        save_checkpoint(tmp_path, 2, {"x": 2})
    assert names(tmp_path) == before
    assert load_checkpoint(tmp_path) == (1, {"x": 1})


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"could not be written to .*; make the folder writable"):
        save_checkpoint(tmp_path / "file" / "checkpoints", 1, {})


def test_a_process_killed_while_writing_leaves_nothing_that_counts(tmp_path):
    save_checkpoint(tmp_path, 1, {"x": 1})
    (tmp_path / "checkpoint-000000000002-0123456789abcdef.tmp").write_bytes(b"half")
    assert load_checkpoint(tmp_path) == (1, {"x": 1})
    save_checkpoint(tmp_path, 3, {"x": 3})
    assert not list(tmp_path.glob("*.tmp"))
