"""The file that is handed in, from Colab, Jupyter and VS Code."""

import hashlib
import io
import json
import sys
import types
import zipfile
from datetime import UTC, datetime

import pytest
import torch
from safetensors.torch import load
from torch import nn

from coursekit.exercises import colab
from coursekit.exercises.submission import MAX_NOTEBOOK, bundle

SOURCE = "def total(x, weight):\n    return (x * weight).sum(dim=1)"


def notebook_of(*sources, essay="..."):
    cells = [{"cell_type": "code", "source": source, "metadata": {}, "outputs": []} for source in sources]
    cells.append({"cell_type": "markdown", "source": ["<!-- answer: essay -->\n", "\n", essay], "metadata": {}})
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture
def at_work(demo, said, monkeypatch, right_total):
    """jdoe has answered `total` and `double`."""
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    said(demo.start, "jdoe")
    said(demo.tasks["total"].check, right_total)
    said(demo.tasks["double"].check, 3.5)
    return demo


@pytest.fixture
def session(monkeypatch):
    """A kernel that has run these cells."""

    def run(*cells, **names):
        history = types.SimpleNamespace(input_hist_raw=["", *cells])
        shell = types.SimpleNamespace(user_ns=names, history_manager=history)
        monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))

    return run


@pytest.fixture
def fake_colab(monkeypatch):
    """A google.colab whose tab answers with `reply`; returns what was asked and downloaded."""

    def install(reply, downloads=True):
        log = []

        def blocking_request(kind, request="", timeout_sec=5, parent=None):
            log.append(kind)
            if isinstance(reply, Exception):
                raise reply
            return reply

        def download(path):
            if not downloads:
                raise RuntimeError("blocked")
            log.append(path)

        module = types.ModuleType("google.colab")
        module._message = types.SimpleNamespace(blocking_request=blocking_request)
        module.files = types.SimpleNamespace(download=download)
        monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
        monkeypatch.setitem(sys.modules, "google.colab", module)
        return log

    return install


def read_zip(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_bundle_holds_notebook_numbers_weights_and_manifest(at_work, said):
    layer = nn.Linear(2, 1)
    said(at_work.tasks["net"].hand_in, layer)
    notebook = notebook_of(SOURCE, essay="Größe \ud800")
    data = bundle(at_work, "jdoe", notebook, datetime(2026, 3, 4, 5, 6, 8, tzinfo=UTC))
    files = read_zip(io.BytesIO(data))
    assert sorted(files) == ["answers.json", "artefacts/net.safetensors", "manifest.json", "notebook.ipynb"]
    assert json.loads(files["notebook.ipynb"]) == notebook
    assert json.loads(files["answers.json"]) == {"double": 3.5}
    assert torch.equal(load(files["artefacts/net.safetensors"])["weight"], layer.weight)
    manifest = json.loads(files["manifest.json"])
    hashes = manifest.pop("files")
    assert hashes == {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != "manifest.json"}
    assert manifest.pop("coursekit")
    assert manifest == {
        "format": 1,
        "assignment": "demo",
        "student": "jdoe",
        "numbers": at_work.numbers_of("jdoe"),
        "created": "2026-03-04T05:06:08+00:00",
    }
    assert data == bundle(at_work, "jdoe", notebook, datetime(2026, 3, 4, 5, 6, 8, tzinfo=UTC))


def test_large_outputs_are_left_out(at_work):
    notebook = notebook_of(SOURCE)
    notebook["cells"][0]["outputs"] = [{"output_type": "stream", "text": "x" * MAX_NOTEBOOK}]
    kept = json.loads(read_zip(io.BytesIO(bundle(at_work, "jdoe", notebook)))["notebook.ipynb"])
    assert [cell.get("outputs") for cell in kept["cells"]] == [[], None]
    assert kept["cells"][0]["source"] == SOURCE


# -- Colab -----------------------------------------------------------------------------------------


def test_colab_hands_over_the_live_notebook_and_downloads_the_file(at_work, said, fake_colab, tmp_path):
    notebook = notebook_of("not run yet", essay="Because.")
    log = fake_colab({"ipynb": notebook})
    text = said(at_work.submit, student="JDoe")
    assert log == ["get_ipynb", "demo-jdoe.zip"]
    assert json.loads(read_zip(tmp_path / "demo-jdoe.zip")["notebook.ipynb"]) == notebook
    assert "Not answered, or not checked since the kernel was started: net." in text
    assert "Nothing is written under" not in text


@pytest.mark.parametrize(
    "reply", [None, {}, {"ipynb": "text"}, {"ipynb": {"cells": None}}, TimeoutError("slow"), {"error": 1}]
)
def test_a_tab_that_does_not_answer_leaves_the_menu(at_work, said, fake_colab, tmp_path, reply):
    fake_colab(reply)
    text = said(at_work.submit, student="jdoe")
    assert "Nothing is written" in text and "menu File, Download, Download .ipynb" in text and "demo-jdoe.ipynb" in text
    assert not list(tmp_path.glob("*.zip"))


def test_a_browser_that_blocks_downloads_leaves_the_folder_view(at_work, said, fake_colab, tmp_path):
    fake_colab({"ipynb": notebook_of(SOURCE)}, downloads=False)
    assert "Open the folder view" in said(at_work.submit, student="jdoe")
    assert (tmp_path / "demo-jdoe.zip").exists()


# -- here ------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "work.ipynb"
    path.write_text(json.dumps(notebook_of(SOURCE, "double = 3.5")), encoding="utf-8")
    return path


@pytest.mark.parametrize("value", ["work.ipynb", "course/exercises/work.ipynb"])
def test_jupyter_says_where_the_notebook_is(at_work, said, session, saved, monkeypatch, value, tmp_path):
    session(SOURCE, "double = 3.5")
    monkeypatch.setenv("JPY_SESSION_NAME", value)
    assert "Written: demo-jdoe.zip" in said(at_work.submit, student="jdoe")
    assert json.loads(read_zip(tmp_path / "demo-jdoe.zip")["notebook.ipynb"]) == notebook_of(SOURCE, "double = 3.5")


def test_vs_code_says_where_the_notebook_is(at_work, said, session, saved, tmp_path):
    session(SOURCE, __vsc_ipynb_file__=str(saved))
    assert "Written: hand-in/demo-jdoe.zip" in said(at_work.submit, student="jdoe", folder="hand-in")
    assert (tmp_path / "hand-in" / "demo-jdoe.zip").exists()


def test_a_path_can_be_given(at_work, said, saved):
    assert "Written" in said(at_work.submit, student="jdoe", notebook=saved)


def test_a_notebook_with_a_byte_order_mark_is_read(at_work, said, saved):
    saved.write_bytes(b"\xef\xbb\xbf" + saved.read_bytes())
    assert "Written" in said(at_work.submit, student="jdoe", notebook=saved)


def test_an_answer_that_is_not_saved_stops_the_submission(at_work, said, session, saved, monkeypatch, tmp_path):
    monkeypatch.setenv("JPY_SESSION_NAME", str(saved))
    session(SOURCE, SOURCE + "  # better", "demo.submit(student=STUDENT)")
    text = said(at_work.submit, student="jdoe")
    assert "what you ran last for total is not in" in text and "Save the notebook" in text
    assert not list(tmp_path.glob("*.zip"))
    assert "Written" in said(at_work.submit, student="jdoe", notebook=saved)


@pytest.mark.parametrize("cell", ["total == 3", "total(x, weight)", "def f():\n    total = 1", "totals = 1"])
def test_a_cell_that_only_uses_an_answer_need_not_be_saved(at_work, said, session, saved, monkeypatch, cell):
    monkeypatch.setenv("JPY_SESSION_NAME", str(saved))
    session(SOURCE, cell)
    assert "Written" in said(at_work.submit, student="jdoe")


@pytest.mark.parametrize("cell", ["class total:\n    pass", "double: float = 3.6", "double=3.6", "x = 1\ndouble = 3.6"])
def test_every_way_of_defining_an_answer_must_be_saved(at_work, said, session, saved, monkeypatch, cell):
    monkeypatch.setenv("JPY_SESSION_NAME", str(saved))
    session(SOURCE, cell)
    assert "Save the notebook" in said(at_work.submit, student="jdoe")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"cells": 3}', "<html>", "\udc80"])
def test_what_is_no_notebook_is_not_handed_in(at_work, said, tmp_path, content):
    path = tmp_path / "bad.ipynb"
    path.write_text(content, encoding="utf-8", errors="surrogatepass")
    assert "is not a notebook" in said(at_work.submit, student="jdoe", notebook=path)


def test_without_a_path_it_says_how(at_work, said, session, tmp_path):
    session(SOURCE)
    text = said(at_work.submit, student="jdoe")
    assert 'notebook="…/demo.ipynb"' in text and "demo-jdoe.ipynb" in text
    assert "there is no file" in said(at_work.submit, student="jdoe", notebook="absent.ipynb")


def test_weights_of_an_earlier_session_are_taken_from_their_file(at_work, said, saved, tmp_path, right_total):
    said(at_work.tasks["net"].hand_in, nn.Linear(2, 1))
    kept = at_work.artefacts["net"]
    said(at_work.start, "somebody-else")
    said(at_work.start, "jdoe")
    said(at_work.tasks["total"].check, right_total)
    assert at_work.artefacts == {}
    assert "net: taken from" in said(at_work.submit, student="jdoe", notebook=saved)
    assert read_zip(tmp_path / "demo-jdoe.zip")["artefacts/net.safetensors"] == kept


def test_the_menus_way_names_the_weights(at_work, said, session):
    session(SOURCE)
    said(at_work.tasks["net"].hand_in, nn.Linear(2, 1))
    assert "Hand in artefacts/demo-net.safetensors with it." in said(at_work.submit, student="jdoe")


# -- who hands in, and what ------------------------------------------------------------------------


def test_nothing_answered_is_nothing_to_hand_in(demo, said, saved):
    assert "nothing to hand in" in said(demo.submit, student="jdoe")
    said(demo.start, "jdoe")
    said(demo.tasks["total"].check, ...)
    assert "nothing to hand in" in said(demo.submit, student="jdoe", notebook=saved)


def test_a_text_alone_can_be_handed_in(demo, said, tmp_path):
    said(demo.start, "jdoe")
    path = tmp_path / "essay.ipynb"
    path.write_text(json.dumps(notebook_of(essay="Because.")))
    assert "Written" in said(demo.submit, student="jdoe", notebook=path)


def test_an_empty_text_is_mentioned(at_work, said, saved):
    assert "Nothing is written under <!-- answer: essay -->." in said(at_work.submit, student="jdoe", notebook=saved)


@pytest.mark.parametrize(
    ("student", "words"),
    [
        ("other", "the notebook was started for jdoe, and this is other"),
        ("your-id", "put your own id"),
        ("a/b", "the id is"),
        (7, "the id is"),
    ],
)
def test_a_wrong_id_is_explained(at_work, said, saved, tmp_path, student, words):
    assert words in said(at_work.submit, student=student, notebook=saved)
    assert not list(tmp_path.glob("*.zip"))


def test_without_an_id_the_one_of_the_start_is_taken(at_work, said, saved, tmp_path):
    said(at_work.submit, notebook=saved)
    assert (tmp_path / "demo-jdoe.zip").exists()


def test_a_text_before_the_start_asks_for_the_start(demo, said, tmp_path):
    path = tmp_path / "essay.ipynb"
    path.write_text(json.dumps(notebook_of(essay="Because.")))
    assert "start(STUDENT) first" in said(demo.submit, student="jdoe", notebook=path)


def test_a_folder_that_cannot_be_written_is_explained(at_work, said, saved, tmp_path):
    (tmp_path / "file").write_text("")
    assert "Name another folder" in said(at_work.submit, student="jdoe", notebook=saved, folder="file/sub")


def test_outside_of_any_notebook_no_cells_have_run(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert colab.session_cells() == []
    assert not colab.on_colab()
