import hashlib
import io
import re
import tarfile

import numpy as np
import pytest

from coursekit.data import DataUnavailable, download, is_available, load_images
from coursekit.data.cifar import decode_cifar10

FOLDER = "cifar-10-batches-bin"


def record(label, red, green, blue):
    return bytes([label]) + bytes([red]) * 1024 + bytes([green]) * 1024 + bytes([blue]) * 1024


def packed(members, mode="w:gz"):
    """An archive of files by name; None makes a folder, a str a symbolic link to it."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as tar:
        for name, value in members.items():
            member = tarfile.TarInfo(name)
            if value is None:
                member.type = tarfile.DIRTYPE
            elif isinstance(value, str):
                member.type, member.linkname = tarfile.SYMTYPE, value
            else:
                member.size = len(value)
            tar.addfile(member, io.BytesIO(value) if isinstance(value, bytes) else None)
    return content.getvalue()


def members():
    """Batch i has two records, of label i and of colours that count up; the test batch one."""
    batches = {
        f"{FOLDER}/data_batch_{i}.bin": record(i, 10 * i, 10 * i + 1, 10 * i + 2) + record(i, 9, 8, 7)
        for i in (2, 1, 3, 5, 4)  # not in order
    }
    other = {FOLDER: None, f"{FOLDER}/readme.html": b"<html>", "../data_batch_1.bin": b"elsewhere"}
    return other | batches | {f"{FOLDER}/test_batch.bin": record(9, 1, 2, 3)}


def test_training_batches_come_in_their_order_with_planes_in_theirs():
    images, labels = decode_cifar10(packed(members()), "train")
    assert images.shape == (10, 3, 32, 32) and images.dtype == np.uint8 and images.flags.c_contiguous
    assert labels.tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert images[::2, :, 0, 0].tolist() == [[10 * i, 10 * i + 1, 10 * i + 2] for i in range(1, 6)]
    assert images[1::2, :, 31, 31].tolist() == [[9, 8, 7]] * 5


def test_planes_are_row_by_row():
    rows = bytes(value // 32 for value in range(1024))
    columns = bytes(value % 32 for value in range(1024))
    archive = packed({f"{FOLDER}/test_batch.bin": bytes([0]) + rows + columns + bytes(1024)})
    images, _ = decode_cifar10(archive, "test")
    assert images[0, 0, :, 5].tolist() == list(range(32))
    assert images[0, 1, 5, :].tolist() == list(range(32))


BATCH = f"{FOLDER}/test_batch.bin"


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (b"", "is not a whole tar.gz archive"),
        (b"<html>404</html>", "is not a whole tar.gz archive"),
        (packed(members())[:-200], "is not a whole tar.gz archive"),
        (packed(members(), "w"), "is not a whole tar.gz archive"),
        (packed({BATCH: record(1, 2, 3, 4)[:-1]}), "has 3072 bytes, which are not whole records of 3073"),
        (packed({BATCH: b""}), "has 0 bytes"),
        (packed({BATCH: record(10, 2, 3, 4)}), "has a label 10; the highest is 9"),
        (packed({"test_batch.bin": record(1, 2, 3, 4)}), f"lacks {BATCH}"),
        (packed({BATCH: "/etc/passwd"}), f"lacks {BATCH}"),
    ],
    ids=["empty", "html", "cut", "not compressed", "short record", "no record", "label", "other folder", "link"],
)
def test_damage_is_named(archive, message):
    with pytest.raises(ValueError, match=message) as caught:
        decode_cifar10(archive, "test", "cifar.tar.gz")
    assert "cifar.tar.gz" in str(caught.value) and "\n" not in str(caught.value)


@pytest.fixture
def served(monkeypatch, serve):
    """Call with behaviours: "cifar10" becomes the archive of `members` behind one mirror for each."""
    content = packed(members())
    file = download.RemoteFile("cifar-10-binary.tar.gz", len(content), hashlib.sha256(content).hexdigest())

    def use(*behaviours):
        addresses = serve({file.name: content}, *behaviours)
        classes = download.REGISTRY["cifar10"].classes
        remote = download.RemoteSet("CIFAR10", addresses, {"train": (file,), "test": (file,)}, classes)
        monkeypatch.setitem(download.REGISTRY, "cifar10", remote)

    return use


def test_archive_is_downloaded_once_for_both_splits(served, server, online):
    served("broken", "good")
    assert not is_available("cifar10")
    train, test = load_images("cifar10", "train"), load_images("cifar10", "test")
    assert server.requests == [("broken", "cifar-10-binary.tar.gz"), ("good", "cifar-10-binary.tar.gz")]
    assert is_available("cifar10") and is_available("cifar10", "test")
    assert [path.name for path in online.rglob("*") if path.is_file()] == ["cifar-10-binary.tar.gz"]
    assert (train.name, train.source, train.image_shape) == ("cifar10", "cifar10", (3, 32, 32))
    assert train.labels.tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5] and test.labels.tolist() == [9]
    assert train.classes[1] == "automobile" and test.classes[9] == "truck" and len(test.classes) == 10


@pytest.mark.parametrize("fault", ["truncates", "corrupts", "dies"])
def test_faults_of_the_network_leave_nothing(served, online, fault):
    served(fault)
    with pytest.raises(DataUnavailable, match='cifar-10-binary.tar.gz is missing and could not .* offline="digits"'):
        load_images("cifar10")
    assert [path for path in online.rglob("*") if path.is_file()] == []


def test_registered_archive_is_the_one_of_the_publisher():
    (train,), (test,) = (download.REGISTRY["cifar10"].splits[split] for split in ("train", "test"))
    assert train == test and train.size == 170_052_171 and re.fullmatch("[0-9a-f]{64}", train.sha256)
