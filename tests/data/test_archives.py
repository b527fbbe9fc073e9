import io
import stat
import zipfile

import pytest

from coursekit.data import archives
from coursekit.data.archives import unpack_folders

FOLDERS = ("trainA", "trainB")


def packed(members, method=zipfile.ZIP_DEFLATED):
    """A zip archive of (name or ZipInfo, content)."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, value in members:
            archive.writestr(name, value)
    content.seek(0)
    return content


def link(name):
    member = zipfile.ZipInfo(name)
    member.create_system = 3
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


GOOD = [("set/", b""), ("set/trainA/1.jpg", b"one"), ("set/trainA/2.PNG", b"two"), ("set/trainB/1.jpg", b"three")]


def files_below(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_images_of_the_folders_are_unpacked_and_nothing_else(tmp_path):
    others = [
        ("set/readme.txt", b""),
        ("set/trainA/list.txt", b""),
        ("set/trainA/.hidden.jpg", b""),
        ("set/trainA/deep/3.jpg", b""),
        ("set/valA/4.jpg", b""),
        ("trainA/5.jpg", b""),
    ]
    unpack_folders(packed(GOOD + others), tmp_path / "set", FOLDERS)
    assert files_below(tmp_path) == {
        "set/trainA/1.jpg": b"one",
        "set/trainA/2.PNG": b"two",
        "set/trainB/1.jpg": b"three",
    }


@pytest.mark.parametrize(
    "name",
    [
        "../trainA/1.jpg",
        "set/../../trainA/1.jpg",
        "set/trainA/..",
        "/set/trainA/1.jpg",
        "set/trainA/..\\..\\1.jpg",
        "C:/trainA/1.jpg",
    ],
)
def test_name_that_points_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="points elsewhere"):
        unpack_folders(packed([*GOOD, (name, b"evil")]), tmp_path / "in" / "set", FOLDERS)
    assert files_below(tmp_path) == {}


def damaged():
    content = packed(GOOD, zipfile.ZIP_STORED).getvalue()
    return io.BytesIO(content.replace(b"three", b"THREE"))


def encrypted():
    content = bytearray(packed(GOOD).getvalue())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 8] |= 1
    return io.BytesIO(content)


@pytest.mark.filterwarnings("ignore:Duplicate name")  # Python's, on writing the archive that is to be refused
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: io.BytesIO(b"<html>"), "is not a whole zip archive"),
        (lambda: io.BytesIO(packed(GOOD).getvalue()[:-60]), "is not a whole zip archive"),
        (damaged, "has a damaged member 'set/trainB/1.jpg'"),
        (encrypted, "has an encrypted image: 'set/trainB/1.jpg'"),
        (lambda: packed([*GOOD, (link("set/trainA/3.jpg"), "/etc/passwd")]), "has a link among its images"),
        (lambda: packed([*GOOD, GOOD[1]]), "'set/trainA/1.jpg' twice"),
        (lambda: packed([*GOOD, ("other/trainA/1.jpg", b"")]), "'other/trainA/1.jpg' twice"),
    ],
    ids=["html", "cut", "damaged", "encrypted", "link", "twice", "two roots"],
)
def test_what_is_wrong_is_named_and_nothing_stays(tmp_path, make, message):
    with pytest.raises(ValueError, match=message) as caught:
        unpack_folders(make(), tmp_path / "set", FOLDERS)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_bomb_is_refused_before_it_is_unpacked(monkeypatch, tmp_path):
    monkeypatch.setattr(archives, "MOST_BYTES", 10)
    with pytest.raises(ValueError, match="unpacks to 11 bytes, too many"):
        unpack_folders(packed(GOOD), tmp_path / "set", FOLDERS)


def test_what_another_process_unpacked_first_stays(tmp_path):
    """Its folder appears after the check that there is none."""
    (tmp_path / "set" / "trainA").mkdir(parents=True)
    (tmp_path / "set" / "trainA" / "theirs.jpg").write_bytes(b"theirs")
    unpack_folders(packed(GOOD), tmp_path / "set", FOLDERS)
    assert files_below(tmp_path) == {"set/trainA/theirs.jpg": b"theirs"}


def test_folder_that_cannot_be_made_is_an_error_of_the_system(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError):
        unpack_folders(packed(GOOD), tmp_path / "file" / "set", FOLDERS)
