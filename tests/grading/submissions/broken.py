"""Files that are not what they should be."""

import json

from . import RIGHT, code, submission

GONE = dict.fromkeys(RIGHT, "missing")


@submission()
def wrong_kernel_name(kit):
    notebook = kit.notebook()
    notebook["metadata"] = {"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}}
    kit.bare(notebook)


@submission()
def metadata_stripped(kit):
    notebook = kit.notebook()
    kit.bare({"cells": [{"cell_type": cell["cell_type"], "source": cell["source"]} for cell in notebook["cells"]]})


@submission()
def sources_as_lists(kit):
    notebook = kit.notebook()
    for cell in notebook["cells"]:
        cell["source"] = cell["source"].splitlines(keepends=True)
    kit.bare(notebook)


@submission(flags=("byte-order-mark",))
def byte_order_mark(kit):
    kit.bare(json.dumps(kit.notebook()).encode("utf-8-sig"))


@submission(flags=("byte-order-mark",))
def utf_16(kit):
    kit.bare(json.dumps(kit.notebook(), ensure_ascii=False).encode("utf-16"))


@submission(flags=("not-utf-8",))
def latin_1(kit):
    notebook = kit.notebook(before=["# für später: é"])
    for cell in notebook["cells"]:
        cell["source"] = cell["source"].encode("latin-1", "ignore").decode("latin-1")
    kit.bare(json.dumps(notebook, ensure_ascii=False).encode("latin-1"))


@submission(lost=["loss", "gap", "active_dimensions"], flags=("truncated",))
def truncated(kit):
    text = json.dumps(kit.notebook(), indent=1)
    kit.bare(text[: text.index("loss-answer")])


@submission(lost="all", flags=("empty",), status=GONE)
def empty(kit):
    kit.bare(b"")


@submission(lost="all", flags=("empty",))
def no_cells(kit):
    kit.bare({"cells": []})


@submission(lost="all", flags=("no-notebook",))
def an_empty_folder(kit):
    (kit.folder / kit.student).mkdir()


@submission(lost="all", flags=("no-notebook",))
def a_zip_without_a_notebook(kit):
    kit.zip({"answers.json": {"gap": 1.0}})


@submission(lost="all", flags=("html",), status=GONE)
def a_web_page(kit):
    kit.bare("<!DOCTYPE html>\n<html><body>Please sign in</body></html>")


@submission(lost="all", flags=("unreadable",), status=GONE)
def binary(kit):
    kit.bare(bytes(range(256)) * 100)


@submission(lost="all", flags=("unreadable",))
def a_word_document(kit):
    (kit.folder / f"{kit.student}.docx").write_bytes(b"\xd0\xcf\x11\xe0 not even a zip")


@submission(lost="all", flags=("oversized",), status=GONE)
def two_hundred_megabytes(kit):
    with open(kit.folder / f"{kit.student}.ipynb", "wb") as file:
        file.truncate(200 * 2**20)


@submission(lost="all", flags=("oversized",))
def a_cell_of_two_megabytes(kit):
    kit.bare(kit.notebook(before=["x = '" + "x" * 2_000_000 + "'"]))


@submission(lost="all", flags=("oversized",))
def a_thousand_cells(kit):
    kit.bare(kit.notebook(before=["x = 1"] * 1000))


@submission(lost="all", flags=("oversized",), status=GONE)
def zip_bomb(kit):
    kit.zip({"notebook.ipynb": b" " * 100_000_000})


@submission(lost="all", flags=("unsafe-path", "no-notebook"))
def path_traversal(kit):
    kit.zip({"../../../../tmp/notebook.ipynb": kit.notebook()})


@submission(lost="all", flags=("link",))
def a_link_to_another_submission(kit):
    elsewhere = kit.folder.parent / "elsewhere.ipynb"
    elsewhere.write_text(json.dumps(kit.notebook()))
    (kit.folder / f"{kit.student}.ipynb").symlink_to(elsewhere)


@submission(flags=("damaged-parts",))
def damaged_answers(kit):
    kit.zip({"notebook.ipynb": kit.notebook(), "answers.json": b"{" * 1000, "manifest.json": b"\xff\xfe"})


@submission(status={"small_vae": "refused"})
def a_pickle_for_an_artefact(kit):
    kit.whole(artefact=b"\x80\x04\x95cos\nsystem\n(S'true'\ntR.")


@submission(status={"small_vae": "refused"})
def an_artefact_that_claims_terabytes(kit):
    header = json.dumps({"weight": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}).encode()
    kit.whole(artefact=len(header).to_bytes(8, "little") + header)


@submission(lost="all", flags=("cell-failed",))
def code_of_another_language(kit):
    kit.bare({"cells": [code("library(torch)\nkl <- function(mu) { mu }"), code("x -> y")]})
