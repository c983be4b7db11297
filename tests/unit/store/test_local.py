"""What only folders have: links, pipes, names that are no text, permissions, folders that come and go."""

import os
import resource
import shutil
import tempfile
from pathlib import Path

import pytest

from pipeline.errors import MediaError, StoreError
from pipeline.store import local
from pipeline.store.local import LocalStore

STORE = LocalStore()


def listed(folder: Path) -> list[str]:
    return sorted(media.uri.removeprefix(f"{folder}/") for media in STORE.list(f"{folder}/"))


def test_links_to_files_are_followed_and_what_leads_nowhere_or_in_circles_is_not(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "a.mp4")
    (tmp_path / "nowhere.mp4").symlink_to(tmp_path / "none")
    (tmp_path / "itself.mp4").symlink_to(tmp_path / "itself.mp4")
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.mp4")
    assert listed(tmp_path) == ["a.mp4", "link.mp4"]


def test_a_folder_deeper_than_python_recurses_is_listed(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    folders = [f"{tmp_path}{'/d' * depth}" for depth in range(1, 1100)]
    for folder in folders:
        Path(folder).mkdir()
    try:
        assert listed(tmp_path) == ["a.mp4"]
    finally:
        os.removedirs(folders[-1])  # pytest's own clean-up recurses


def test_a_folder_that_goes_during_the_listing_does_not_stop_it(tmp_path):
    for name in ("a.mp4", "sub/b.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    listing = STORE.list(f"{tmp_path}/")
    assert next(listing).uri == f"{tmp_path}/a.mp4"
    shutil.rmtree(tmp_path / "sub")
    assert list(listing) == []


def test_a_folder_that_cant_be_listed_isnt_taken_for_an_empty_one():
    with tempfile.TemporaryDirectory() as folder:  # root itself may list all: it becomes another user for a moment
        Path(folder).chmod(0o755)
        (closed := Path(folder, "data", "closed")).mkdir(parents=True)
        (closed / "a.parquet").write_bytes(b"x")
        closed.chmod(0)
        user = os.geteuid()
        try:
            os.seteuid(user or 65534)
            with pytest.raises(StoreError, match=rf"the folder '{closed}' can't be listed .*: check its permissions"):
                list(STORE.names(folder))
        finally:
            os.seteuid(user)
            closed.chmod(0o700)
        assert list(STORE.names(folder)) == [str(closed / "a.parquet")]
        assert list(STORE.names(f"{folder}/none")) == []


def test_who_writes_while_half_written_files_are_cleared_writes_again(tmp_path, monkeypatch):
    place, cleared = tmp_path / "work" / "a.json", []
    real = local._put_in_place

    def late(part, target, if_absent):
        if not cleared:
            cleared.append(part.name)
            STORE.clear_parts(str(tmp_path))
            assert not part.exists()
        return real(part, target, if_absent)

    monkeypatch.setattr(local, "_put_in_place", late)
    for if_absent in (False, True):
        cleared.clear()
        place.unlink(missing_ok=True)
        assert STORE.write(str(place), b"x", if_absent=if_absent)
        assert (place.read_bytes(), len(cleared), len(list(tmp_path.rglob("*.*")))) == (b"x", 1, 1)


def test_a_name_that_is_not_utf8_is_listed_and_has_a_code(tmp_path):
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff.mp4", os.O_CREAT))
    (media,) = STORE.list(f"{tmp_path}/")
    assert media.uri == f"{tmp_path}/\\xff.mp4"
    with pytest.raises(MediaError) as caught:
        STORE.fetch(media, tmp_path)
    assert caught.value.code == "bad_name"


def test_a_file_that_is_read_in_place_is_watched(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"one")
    (media,) = STORE.list(f"{tmp_path}/")
    assert STORE.fetch(media, tmp_path / "elsewhere").path == tmp_path / "a.mp4"
    assert not STORE.changed(media)
    (tmp_path / "a.mp4").write_bytes(b"three")
    assert STORE.changed(media)
    (tmp_path / "a.mp4").unlink()
    assert STORE.changed(media)


def test_a_folder_where_a_file_was_is_unreadable(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    (media,) = STORE.list(f"{tmp_path}/")
    (tmp_path / "a.mp4").unlink()
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(MediaError) as caught:
        STORE.fetch(media, tmp_path)
    assert caught.value.code == "unreadable"


def test_only_a_file_is_a_text_beside_another(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "a.mp4.folder").mkdir()
    os.mkfifo(tmp_path / "a.mp4.pipe")  # reading it would never end
    (tmp_path / "a.mp4.nowhere").symlink_to(tmp_path / "none")
    (tmp_path / "a.mp4.itself").symlink_to(tmp_path / "a.mp4.itself")
    (tmp_path / "a.mp4.link").symlink_to(tmp_path / "a.mp4")
    media = next(media for media in STORE.list(f"{tmp_path}/") if media.uri.endswith("a.mp4"))
    for ending in (".folder", ".pipe", ".nowhere", ".itself", "/below"):
        assert STORE.beside(media, ending) is None
    assert STORE.beside(media, ".link") == b"x"


def test_a_text_beside_that_cannot_be_read_is_not_taken_for_missing(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "a.mp4.txt").symlink_to("/proc/self/mem")  # a file whose first byte can't be read
    (media,) = STORE.list(f"{tmp_path}/a.mp4")
    with pytest.raises(MediaError) as caught:
        STORE.beside(media, ".txt")
    assert caught.value.code == "unreadable"


def test_others_may_read_what_is_written_as_they_may_read_any_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"x")
    STORE.write(f"{tmp_path}/lake.json", b"x")
    assert (tmp_path / "lake.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_writing_leaves_nothing_else_behind_and_names_show_nothing_unfinished(tmp_path):
    STORE.write(f"{tmp_path}/a", b"x", if_absent=True)
    STORE.write(f"{tmp_path}/a", b"y", if_absent=True)
    (tmp_path / ".part-of-one-that-died").write_bytes(b"")
    assert list(STORE.names(str(tmp_path))) == [f"{tmp_path}/a"]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "use",
    [
        lambda place: STORE.write(f"{place}/file/below", b"x"),
        lambda place: STORE.write(f"{place}/file/below", b"x", if_absent=True),
        lambda place: STORE.write(f"{place}/folder", b"x"),
        lambda place: STORE.read(f"{place}/folder"),
        lambda place: STORE.delete(f"{place}/folder"),
    ],
)
def test_what_cannot_be_done_is_a_sentence_with_the_next_step(tmp_path, use):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "folder" / "full").mkdir(parents=True)
    with pytest.raises(
        StoreError, match=r"'.*' can't be (read|written|deleted) \(.*\): check the path, its permissions"
    ):
        use(tmp_path)


def test_a_full_disk_is_a_sentence_and_leaves_no_half_file(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # no file may grow further
    try:
        with pytest.raises(StoreError, match=r"can't be written \(.*\): .* the room on the disk"):
            STORE.write(f"{tmp_path}/a", bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_below_a_file_there_is_nothing_to_read_or_delete(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    assert STORE.read(f"{tmp_path}/file/below") is None
    STORE.delete(f"{tmp_path}/file/below")
    assert (tmp_path / "file").exists()
