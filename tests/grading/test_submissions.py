"""Finding and reading what was handed in: whose it is, what is in it, and that nothing in it does harm."""

import io
import json
import os
import zipfile
from types import SimpleNamespace

import pytest

from coursekit.errors import CoursekitError
from coursekit.exercises.submission import write_artefact
from coursekit.grading import submissions
from coursekit.grading.submissions import Found, canonical_id, find_submissions, read_roster, read_submission

ASSIGNMENT = SimpleNamespace(name="vae", tasks=dict.fromkeys(("kl", "elbo", "rate", "decoder", "why")))
SETUP = 'from coursekit.exercises import vae\nSTUDENT = "ada"\nnumbers = vae.start(STUDENT)'
KL = "def kl(mu, log_var):\n    return mu"


def notebook(*cells, **more):
    def cell(source):
        kind = "markdown" if source.startswith(("#", "<!--")) else "code"
        return {"cell_type": kind, "metadata": {}, "source": source.splitlines(keepends=True)}

    return {"cells": [cell(source) for source in cells or (SETUP, KL)], "metadata": {}, "nbformat": 4, **more}


def as_bytes(value):
    return json.dumps(value).encode()


def zipped(path, members, **options):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def read(path, student="ada"):
    return read_submission(Found(student, path), ASSIGNMENT)


def written(tmp_path, content, name="ada.ipynb"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


# -- whose it is -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, student",
    [
        ("ada.zip", "ada"),
        ("ada.ipynb", "ada"),
        ("vae-ada.zip", "ada"),
        ("vae-ada (1).zip", "ada"),
        ("ada.lovelace@example.org.ipynb", "ada.lovelace@example.org"),
        ("lovelaceada_12345_67890_vae-whoever.zip", "lovelaceada_12345"),
        ("lovelaceada_LATE_12345_67890_vae-whoever-2.zip", "lovelaceada_12345"),
        ("Ada Lovelace_1234567_assignsubmission_file_vae-x.zip", "Ada Lovelace_1234567"),
        ("zoë.zip", "zoë"),
        ("zoe\u0308.zip", "zoë"),
        ("vae-.zip", "vae-"),
    ],
)
def test_the_id_is_the_name_of_the_file(tmp_path, name, student):
    (tmp_path / name).write_bytes(b"")
    assert [found.student for found in find_submissions(tmp_path, "vae")] == [student]


@pytest.mark.parametrize("name", ["ada", "ada.lovelace", "Ada Lovelace_1234567_assignsubmission_file_"])
def test_the_id_is_the_name_of_the_folder(tmp_path, name):
    (tmp_path / name).mkdir()
    assert find_submissions(tmp_path)[0].student == name.removesuffix("_assignsubmission_file_")


def test_what_the_system_or_the_instructor_put_there_is_no_submission(tmp_path):
    for name in (".DS_Store", "Thumbs.db", "__MACOSX", "roster.csv", "ada.zip"):
        (tmp_path / name).write_bytes(b"")
    assert [found.student for found in find_submissions(tmp_path)] == ["ada"]


def test_a_name_that_is_no_text_becomes_one(tmp_path):
    (tmp_path / os.fsdecode(b"ad\xff\na.zip")).write_bytes(b"")
    found = find_submissions(tmp_path)[0]
    assert found.student.isprintable() and found.student.encode()
    assert read(found.path).name.isprintable()


def test_an_empty_or_missing_folder_is_one_clear_error(tmp_path):
    with pytest.raises(CoursekitError, match="no submission"):
        find_submissions(tmp_path)
    with pytest.raises(CoursekitError, match="not a folder"):
        find_submissions(tmp_path / "nowhere")


def test_a_roster_gives_the_id(tmp_path):
    roster = tmp_path / "roster.csv"
    roster.write_text("submission,student\nlovelaceada_12345,ada\nalan.ipynb,turing\n", encoding="utf-8-sig")
    for name in ("lovelaceada_12345_67890_vae.zip", "alan.ipynb", "kurt.zip"):
        (tmp_path / name).write_bytes(b"")
    assert [found.student for found in find_submissions(tmp_path, "vae", read_roster(roster))] == [
        "ada",
        "kurt",
        "turing",
    ]


@pytest.mark.parametrize(
    "text, message",
    [("submission,student\na,\n", "line 2"), ("submission,student\na,b\na,c\n", "twice"), ("x\n1\n", "columns")],
)
def test_a_bad_roster_is_one_clear_error(tmp_path, text, message):
    (tmp_path / "roster.csv").write_text(text)
    with pytest.raises(CoursekitError, match=message):
        read_roster(tmp_path / "roster.csv")


@pytest.mark.parametrize("student", ["ada", "Ada Lovelace_12", "<script>", "…", "", "a" * 500, "=1+1", "..."])
def test_every_id_has_a_form_that_numbers_can_be_drawn_from(student):
    assert canonical_id(canonical_id(student)) == canonical_id(student)


# -- what is in it ---------------------------------------------------------------------------------


def test_a_bare_notebook_is_read(tmp_path):
    text = "<!-- answer: why -->\nBecause $x$.\n\n"
    found = read(written(tmp_path, as_bytes(notebook(SETUP, "# A title", KL, text))))
    assert found.cells == (SETUP, KL)
    assert found.texts == {"why": "Because $x$."}
    assert found.flags == () and found.answers == {} and found.artefacts == {}


def test_a_zip_is_read_whole(tmp_path):
    members = {
        "notebook.ipynb": as_bytes(notebook()),
        "answers.json": b'{"rate": 1.5, "elbo": true, "kl": "x", "why": NaN, "other": 3}',
        "artefacts/decoder.safetensors": b"weights",
        "artefacts/other.safetensors": b"none of ours",
        "manifest.json": as_bytes({"format": 1, "assignment": "vae", "student": "ada"}),
    }
    found = read(zipped(tmp_path / "ada.zip", members))
    assert found.cells == (SETUP, KL) and found.flags == ()
    assert found.answers == {"rate": 1.5} and found.artefacts == {"decoder": b"weights"}


def test_an_unpacked_zip_and_one_with_a_folder_inside_are_read_the_same(tmp_path):
    members = {"vae/notebook.ipynb": as_bytes(notebook()), "vae/artefacts/decoder.safetensors": b"weights"}
    packed = read(zipped(tmp_path / "ada.zip", members))
    with zipfile.ZipFile(tmp_path / "ada.zip") as archive:
        archive.extractall(tmp_path / "ada")
    folder = read(tmp_path / "ada")
    assert packed.cells == folder.cells == (SETUP, KL)
    assert packed.artefacts == folder.artefacts == {"decoder": b"weights"}


@pytest.mark.parametrize("beside", ["artefacts", "."])
def test_weights_that_were_kept_for_handing_in_are_found_beside_the_notebook(tmp_path, monkeypatch, beside):
    folder = tmp_path / "ada"
    folder.mkdir()
    (folder / "vae-ada.ipynb").write_bytes(as_bytes(notebook()))
    monkeypatch.chdir(tmp_path)
    kept = write_artefact("vae", "decoder", b"weights")
    (folder / beside).mkdir(exist_ok=True)
    kept.rename(folder / beside / kept.name)
    assert read(folder).artefacts == {"decoder": b"weights"}


def test_a_zip_in_a_folder_is_read(tmp_path):
    (tmp_path / "ada").mkdir()
    zipped(tmp_path / "ada" / "vae-ada.zip", {"notebook.ipynb": as_bytes(notebook()), "answers.json": b'{"rate": 2}'})
    found = read(tmp_path / "ada")
    assert found.cells == (SETUP, KL) and found.answers == {"rate": 2.0} and found.flags == ()


@pytest.mark.parametrize("name", ["ada.ipynb", "ada.zip", "ada.txt"])
def test_content_counts_and_not_the_ending(tmp_path, name):
    assert read(written(tmp_path, as_bytes(notebook()), name)).cells == (SETUP, KL)
    assert read(zipped(tmp_path / name, {"n.ipynb": as_bytes(notebook())})).cells == (SETUP, KL)


@pytest.mark.parametrize(
    "encode, flags",
    [
        (lambda text: text.encode("utf-8-sig"), ("byte-order-mark",)),
        (lambda text: text.encode("utf-16"), ("byte-order-mark",)),
        (lambda text: text.encode("latin-1"), ("not-utf-8",)),
        (lambda text: text.encode("cp1252"), ("not-utf-8",)),
    ],
)
def test_other_encodings_are_read_and_flagged(tmp_path, encode, flags):
    text = json.dumps(notebook(KL + "  # é"), ensure_ascii=False)
    found = read(written(tmp_path, encode(text)))
    assert found.cells == (KL + "  # é",) and found.flags == flags


def test_a_truncated_notebook_keeps_its_whole_cells(tmp_path):
    text = json.dumps(notebook(SETUP, KL, "def elbo():\n    return 1"), indent=1)
    found = read(written(tmp_path, text[: text.index("elbo")].encode()))
    assert found.cells == (SETUP, KL) and found.flags == ("truncated",)


@pytest.mark.parametrize(
    "content, flag",
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "html"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "unreadable"),
        (b"%PDF-1.7 \xe2\xe3 nothing", "unreadable"),
        (b"def kl(): ...", "unreadable"),
        (b"[]", "unreadable"),
        (b'{"cells": 3}', "unreadable"),
        (b'"' + b"x" * 1000, "unreadable"),
        (b"[" * 100_000, "unreadable"),
        (b"[" * 500_000, "oversized"),
        (b'{"cells": [' + b"9" * 10_000 + b"]}", "unreadable"),
        (b'{"cells": []}', "empty"),
        (b"PK\x03\x04 and then nothing of a zip", "unreadable"),
        (b"PK\x05\x06" + bytes(18), "no-notebook"),
    ],
)
def test_what_is_no_notebook_is_flagged(tmp_path, content, flag):
    found = read(written(tmp_path, content))
    assert found.cells == () and found.flags == (flag,)


@pytest.mark.parametrize(
    "mangle, cells",
    [
        (lambda n: n.pop("metadata"), (SETUP, KL)),
        (lambda n: n.pop("nbformat"), (SETUP, KL)),
        (lambda n: [cell.pop("metadata") for cell in n["cells"]], (SETUP, KL)),
        (lambda n: [cell.pop("cell_type") for cell in n["cells"]], (SETUP, KL)),
        (lambda n: n["cells"][0].pop("source"), ("", KL)),
        (lambda n: n["cells"].insert(0, "not a cell"), (SETUP, KL)),
        (lambda n: n["cells"].insert(0, {"source": 7}), (SETUP, KL)),
        (lambda n: n["cells"][0].update(source=[SETUP, 3, None]), (SETUP, KL)),
        (lambda n: n["cells"][1].update(source=KL), (SETUP, KL)),
        (lambda n: n["cells"][1].update(source=KL + "\ud800"), (SETUP, KL + "?")),
        (lambda n: n.update(worksheets=[{"cells": [{"cell_type": "code", "input": KL}]}]) or n.pop("cells"), (KL,)),
    ],
)
def test_notebooks_with_missing_or_wrong_parts_are_read(tmp_path, mangle, cells):
    content = notebook()
    mangle(content)
    assert read(written(tmp_path, as_bytes(content))).cells == cells


def test_of_several_notebooks_the_fitting_one_is_taken(tmp_path):
    members = {
        "a.ipynb": as_bytes(notebook("x = 1")),
        "b.ipynb": as_bytes(notebook(SETUP, KL, "vae.kl.check(kl)")),
        "c.ipynb": b"broken",
        "b/answers.json": b'{"rate": 1}',
        "answers.json": b'{"rate": 2}',
    }
    found = read(zipped(tmp_path / "ada.zip", members))
    assert found.cells[1] == KL and found.answers == {"rate": 2.0} and found.flags == ("several-notebooks",)


def test_what_macos_and_jupyter_add_is_not_looked_at(tmp_path):
    other = as_bytes(notebook("kl = elbo = rate = 1"))
    members = {name: other for name in ("__MACOSX/._n.ipynb", ".ipynb_checkpoints/n-checkpoint.ipynb", "._n.ipynb")}
    assert read(zipped(tmp_path / "ada.zip", members | {"n.ipynb": as_bytes(notebook())})).flags == ()


# -- identity --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line, flags",
    [
        ('STUDENT = "ada"', ()),
        ('STUDENT = " ADA "  # mine', ()),
        ('STUDENT = "your-id"', ()),
        ("", ()),
        ("STUDENT = who()", ()),
        ("STUDENT = 'mallory'", ("id-differs",)),
    ],
)
def test_another_id_in_the_notebook_is_flagged_and_a_missing_one_is_not(tmp_path, line, flags):
    assert read(written(tmp_path, as_bytes(notebook(line, KL)))).flags == flags


def test_another_id_in_the_manifest_is_flagged(tmp_path):
    members = {"notebook.ipynb": as_bytes(notebook()), "manifest.json": as_bytes({"student": "mallory"})}
    assert read(zipped(tmp_path / "ada.zip", members)).flags == ("id-differs",)


@pytest.mark.parametrize(
    "line, flags",
    [
        ("from coursekit.exercises import gan_theory", ("wrong-assignment",)),
        ("from coursekit.exercises import gan_theory, vae", ()),
        ("import coursekit.exercises.vae as v", ()),
        ("import torch", ()),
    ],
)
def test_another_assignment_is_flagged(tmp_path, line, flags):
    assert read(written(tmp_path, as_bytes(notebook(line, KL)))).flags == flags


# -- harm ------------------------------------------------------------------------------------------


def test_a_path_out_of_the_archive_is_not_read(tmp_path):
    for name in ("../notebook.ipynb", "/notebook.ipynb", "a/../../notebook.ipynb", "C:\\notebook.ipynb", "..\\n.ipynb"):
        found = read(zipped(tmp_path / "ada.zip", {name: as_bytes(notebook())}))
        assert found.cells == () and found.flags == ("unsafe-path", "no-notebook"), name


def test_a_link_in_an_archive_is_not_read(tmp_path):
    link = zipfile.ZipInfo("notebook.ipynb")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "ada.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert read(tmp_path / "ada.zip").flags == ("link", "no-notebook")


def test_links_in_the_folder_are_not_followed(tmp_path):
    target = tmp_path / "bob.ipynb"
    target.write_bytes(as_bytes(notebook()))
    folder = tmp_path / "class" / "eve"
    folder.mkdir(parents=True)
    for link in (tmp_path / "class" / "ada.ipynb", folder / "notebook.ipynb"):
        link.symlink_to(target)
    (tmp_path / "class" / "mal").symlink_to(tmp_path)
    flags = {found.student: read_submission(found, ASSIGNMENT).flags for found in find_submissions(tmp_path / "class")}
    assert flags == {"ada": ("link",), "eve": ("link", "no-notebook"), "mal": ("link",)}


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "ada.ipynb")
    (tmp_path / "eve").mkdir()
    os.mkfifo(tmp_path / "eve" / "notebook.ipynb")
    flags = [read_submission(found, ASSIGNMENT).flags for found in find_submissions(tmp_path)]
    assert flags == [("unreadable",), ("no-notebook",)]


def test_a_huge_file_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "ada.ipynb"
    with open(path, "wb") as file:
        file.truncate(200 * 2**20)
    monkeypatch.setattr("builtins.open", lambda *a, **k: pytest.fail("it was opened"))
    assert read(path).flags == ("oversized",)


def test_a_zip_bomb_is_read_to_the_limit_only(tmp_path, monkeypatch):
    read_bytes = []
    original = zipfile.ZipExtFile.read
    monkeypatch.setattr(
        zipfile.ZipExtFile, "read", lambda self, n=-1: read_bytes.append(len(data := original(self, n))) or data
    )
    monkeypatch.setattr(submissions, "MAX_NOTEBOOK", 10_000)
    found = read(zipped(tmp_path / "ada.zip", {"notebook.ipynb": b" " * 50_000_000}))
    assert found.flags == ("oversized",) and sum(read_bytes) == 10_001


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressions_that_cannot_be_read_in_pieces_are_refused(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "ada.zip", "w", method) as archive:
        archive.writestr("notebook.ipynb", as_bytes(notebook()))
    assert read(tmp_path / "ada.zip").flags == ("unreadable", "no-notebook")


def test_an_archive_of_very_many_files_is_not_listed(tmp_path, monkeypatch):
    zipped(tmp_path / "ada.zip", {f"{i}.ipynb": b"" for i in range(2_001)})
    monkeypatch.setattr(zipfile, "ZipFile", lambda *a, **k: pytest.fail("it was listed"))
    assert read(tmp_path / "ada.zip").flags == ("oversized",)


def test_an_archive_that_lies_about_its_members_is_flagged(tmp_path):
    raw = bytearray(zipped(tmp_path / "ada.zip", {"notebook.ipynb": as_bytes(notebook())}).read_bytes())
    raw[60] ^= 0xFF
    assert "unreadable" in read(written(tmp_path, bytes(raw), "eve.zip")).flags


def test_an_encrypted_archive_is_flagged(tmp_path):
    raw = bytearray(zipped(tmp_path / "ada.zip", {"notebook.ipynb": as_bytes(notebook())}).read_bytes())
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    assert read(written(tmp_path, bytes(raw), "eve.zip")).flags == ("unreadable", "no-notebook")


def test_damaged_small_parts_leave_the_rest(tmp_path):
    members = {"notebook.ipynb": as_bytes(notebook()), "answers.json": b"{", "manifest.json": b"[" * 60_000}
    found = read(zipped(tmp_path / "ada.zip", members))
    assert found.cells == (SETUP, KL) and found.flags == ("damaged-parts",)


def test_a_huge_artefact_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(submissions, "MAX_ARTEFACT", 100)
    members = {"notebook.ipynb": as_bytes(notebook()), "artefacts/decoder.safetensors": bytes(101)}
    found = read(zipped(tmp_path / "ada.zip", members))
    assert found.artefacts == {} and found.flags == ("oversized",) and found.cells == (SETUP, KL)


def test_any_bytes_end_in_a_submission(tmp_path):
    import random

    random.seed(0)
    buffer = io.BytesIO()
    zipped(buffer, {"notebook.ipynb": as_bytes(notebook()), "answers.json": b'{"rate": 1}'})
    for original in (buffer.getvalue(), as_bytes(notebook())):
        for _ in range(150):
            raw = bytearray(original)
            for _ in range(random.randint(1, 8)):
                raw[random.randrange(len(raw))] = random.randrange(256)
            assert read(written(tmp_path, bytes(raw[: random.randint(1, len(raw))]))).student == "ada"


# -- digest ----------------------------------------------------------------------------------------


def test_the_digest_changes_with_any_content_and_with_nothing_else(tmp_path):
    folder = tmp_path / "ada"
    folder.mkdir()
    (folder / "n.ipynb").write_bytes(as_bytes(notebook()))
    (folder / "answers.json").write_bytes(b"{}")
    first = submissions.digest_of(folder)
    os.utime(folder / "n.ipynb", (1, 1))
    assert submissions.digest_of(folder) == first == read(folder).digest
    (folder / "answers.json").write_bytes(b"{ }")
    assert submissions.digest_of(folder) != first
    (folder / "answers.json").write_bytes(b"{}")
    (folder / "answers.json").rename(folder / "answer.json")
    assert submissions.digest_of(folder) != first
