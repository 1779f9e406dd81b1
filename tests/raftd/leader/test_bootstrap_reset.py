"""What the file that lets a cluster be bootstrapped again says, and when it goes."""

from pathlib import Path

import pytest

from raftd.leader.bootstrap_reset import FILE_NAME, BootstrapReset


async def specified(directory: Path, text: str, done_at: int) -> tuple[int, bool]:
    """What the file is taken for, and whether it is still there."""
    path = directory / FILE_NAME
    path.write_text(text)
    answer = await BootstrapReset(str(directory)).specified({"index": done_at})
    return answer["specified"], path.exists()


@pytest.mark.parametrize("text", ["7", " 7\n", "7 and more"])
async def test_a_file_with_the_index_is_used_once(tmp_path: Path, text: str) -> None:
    assert await specified(tmp_path, text, 7) == (7, False)


@pytest.mark.parametrize("text", ["", "x", "-7", "0", "9" * 30])
async def test_a_file_without_an_index_says_nothing_and_stays(tmp_path: Path, text: str) -> None:
    assert await specified(tmp_path, text, 7) == (0, True)


async def test_a_wrong_index_is_told_and_the_file_stays(tmp_path: Path) -> None:
    assert await specified(tmp_path, "8", 7) == (8, True)


async def test_before_bootstrapping_a_file_goes_unused(tmp_path: Path) -> None:
    assert await specified(tmp_path, "8", 0) == (8, False)


async def test_no_file_says_nothing(tmp_path: Path) -> None:
    assert await BootstrapReset(str(tmp_path)).specified({"index": 7}) == {"specified": 0}
