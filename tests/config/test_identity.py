"""The node ID and the directory it lives in."""

from pathlib import Path

import pytest

from lictor.config import identity
from lictor.config.errors import ConfigError
from lictor.config.runtime import RuntimeConfig

NODE_ID = "9095c165-7f5f-6892-e9bc-722c3a08ebf0"
OTHER_ID = "7234405d-cde5-e0ef-56b1-55e958de5b6c"


def test_the_id_is_kept(tmp_path: Path) -> None:
    config = RuntimeConfig(data_dir=str(tmp_path / "data"))
    first, second = identity.settle(config), identity.settle(config)
    assert first.node_id == second.node_id != ""
    file = tmp_path / "data" / "node-id"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text() == first.node_id


def test_a_given_id_is_used_and_kept(tmp_path: Path) -> None:
    assert identity.settle(RuntimeConfig(data_dir=str(tmp_path), node_id=NODE_ID.upper())).node_id == NODE_ID
    assert identity.settle(RuntimeConfig(data_dir=str(tmp_path))).node_id == NODE_ID


def test_a_directory_of_another_node_is_refused(tmp_path: Path) -> None:
    identity.settle(RuntimeConfig(data_dir=str(tmp_path), node_id=NODE_ID))
    with pytest.raises(ConfigError, match=f"belongs to node ID {NODE_ID}, but node_id is {OTHER_ID}"):
        identity.settle(RuntimeConfig(data_dir=str(tmp_path), node_id=OTHER_ID))
    assert (tmp_path / "node-id").read_text() == NODE_ID


@pytest.mark.parametrize("text", ["nonsense", "9095c1657f5f6892e9bc722c3a08ebf0", "{" + NODE_ID + "}"])
def test_an_id_that_is_no_uuid_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="is invalid: uuid string is wrong"):
        identity.settle(RuntimeConfig(data_dir=str(tmp_path), node_id=text))


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Failed to set up data_dir"):
        identity.settle(RuntimeConfig(data_dir=str(tmp_path / "file" / "data")))
