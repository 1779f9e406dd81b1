"""What was acknowledged is put back after an unclean stop of the machine, whatever its files hold then."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from checkd.core.effects import CHECKS, SERVICES, DropDocument, SaveDocument
from checkd.journal import Journal
from checkd.storage import JOURNAL_FOLDER, DocumentStore, document_name


def store_in(root: Path) -> DocumentStore:
    store = DocumentStore(root)
    store.prepare()
    return store


def machine_stops(root: Path) -> None:
    """Nothing but what was synced is left: here the journal alone."""
    for folder in (SERVICES, CHECKS):
        for path in (root / folder).iterdir():
            if path.is_file():
                path.write_bytes(b"")
    (root / JOURNAL_FOLDER / "boot").write_text("the machine's start before")


def contents(store: DocumentStore) -> dict[str, object]:
    return {name: document for folder in (SERVICES, CHECKS) for name, document in store.read_all(folder)}


def test_documents_are_put_back_as_they_were_last_acknowledged(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.apply([SaveDocument(SERVICES, "a", {"n": 1}), SaveDocument(CHECKS, "c", {"of": "a"})])
    store.apply([SaveDocument(SERVICES, "a", {"n": 2}), SaveDocument(SERVICES, "b", {"n": 3})])
    store.apply([DropDocument(SERVICES, "b")])
    machine_stops(tmp_path)
    again = store_in(tmp_path)
    assert contents(again) == {document_name("a"): {"n": 2}, document_name("c"): {"of": "a"}}
    # And it was synced: the journal is not needed twice.
    assert not list((tmp_path / JOURNAL_FOLDER).glob("journal-*"))


def test_after_a_killed_process_the_files_stand_as_they_are(tmp_path: Path) -> None:
    store_in(tmp_path).apply([SaveDocument(SERVICES, "a", {"n": 1})])
    (tmp_path / SERVICES / document_name("a")).write_text('{"n": "changed by hand"}')
    assert contents(store_in(tmp_path)) == {document_name("a"): {"n": "changed by hand"}}


def test_a_clean_end_leaves_no_journal(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.apply([SaveDocument(SERVICES, "a", {"n": 1})])
    store.close()
    assert not list((tmp_path / JOURNAL_FOLDER).glob("journal-*"))
    assert contents(store_in(tmp_path)) == {document_name("a"): {"n": 1}}


def test_the_files_take_turns_and_what_one_held_is_synced_before_it_is_written_over(tmp_path: Path) -> None:
    settled: list[set[tuple[str, str]]] = []
    journal = Journal(tmp_path, settled.append, capacity_bytes=200)
    for number in range(40):
        journal.append([(SERVICES, f"n{number}", {"n": number})])
    kept = Journal(tmp_path, settled.append).recover("another start")
    names = [name for _, name, _ in kept]
    assert names == [f"n{number}" for number in range(40 - len(names), 40)]
    gone = {name for each in settled for _, name in each}
    assert gone | set(names) == {f"n{number}" for number in range(40)}
    journal.close()


def test_a_batch_larger_than_a_file_is_kept_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path, lambda _: None, capacity_bytes=100)
    entries = [(SERVICES, f"n{number}", {"n": number}) for number in range(50)]
    journal.append([(SERVICES, "first", None)])
    journal.append(list(entries))
    assert Journal(tmp_path, lambda _: None).recover("x") == [(SERVICES, "first", None), *entries]
    journal.close()


@pytest.mark.parametrize("damage_at", [0, 5, 20, 30])
def test_a_record_that_was_not_written_whole_ends_the_journal(tmp_path: Path, damage_at: int) -> None:
    journal = Journal(tmp_path, lambda _: None)
    journal.append([(SERVICES, "whole", {})])
    size = 20 + len('[["services","whole",{}]]')
    journal.append([(SERVICES, "torn!", {})])
    path = tmp_path / "journal-0"
    with path.open("r+b") as file:
        file.seek(size + damage_at)
        file.write(b"\xff")
    assert Journal(tmp_path, lambda _: None).recover("x") == [(SERVICES, "whole", {})]
    journal.close()


def test_a_failed_sync_is_told_and_the_next_batch_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, lambda _: None)
    journal.append([(SERVICES, "first", {})])

    def broken(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        with pytest.raises(OSError, match="Input/output"):
            journal.append([(SERVICES, "lost", {})])
    journal.append([(SERVICES, "next", {})])
    names = [name for _, name, _ in Journal(tmp_path, lambda _: None).recover("x")]
    assert names == ["first", "next"]
    journal.close()
