from __future__ import annotations

from pathlib import Path

import pytest

from cluster.config import ConfigError, load_config, save_config
from cluster.run_folder import RunFolder, RunFolderError, run_identity
from tests.cluster.runs import config_of


def test_a_config_file_is_complete(tmp_path: Path) -> None:
    config = config_of("ant", seed=5, reward__max_labels=500, policy__hidden=[32, 32], query__selection="random")
    save_config(config, tmp_path / "config.toml")
    assert load_config(tmp_path / "config.toml") == config


def test_a_config_file_holds_what_is_possible_only_together(tmp_path: Path) -> None:
    config = config_of(
        supervision__starting_s=300.0, supervision__stuck_s=200.0, reward__ratio_low=2.0, reward__ratio_high=3.0
    )
    save_config(config, tmp_path / "config.toml")
    assert load_config(tmp_path / "config.toml") == config


@pytest.mark.parametrize("text", ["", "not toml [", 'task = "hopper"\nunknown = 1\n'])
def test_a_damaged_config_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigError):
        load_config(tmp_path / "config.toml")


def test_a_run_keeps_its_identity_when_its_folder_is_renamed(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "my run", config_of())
    identity = folder.run_id
    assert identity.startswith("my-run-")
    (tmp_path / "my run").rename(tmp_path / "other")
    assert RunFolder.open(tmp_path / "other").run_id == identity
    assert run_identity(tmp_path / "elsewhere" / "my run") != identity


def test_a_folder_with_a_run_is_not_taken_again(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "run", config_of())
    with pytest.raises(RunFolderError, match="--resume"):
        RunFolder.create(tmp_path / "run", config_of())


def test_a_torn_last_line_of_the_metrics_is_left_out(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", config_of())
    folder.append_metrics({"agent_steps": 1, "true_return": float("nan")})
    with folder.metrics_path.open("a") as file:
        file.write('{"agent_st')
    assert folder.read_metrics() == [{"agent_steps": 1, "true_return": None}]
