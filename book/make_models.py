"""Make the models that run in the pages of the website, and what these show beside them.

    python book/make_models.py            # from the runs in notebooks/checkpoints/
    python book/make_models.py --train    # after training the VAE anew: some minutes on one core

Writes ONNX, codes of held-out digits and held-out emoji to book/_extra/models/, and to models.json there where each
file comes from. The two GANs of emoji are trained by book/results/dcgan_emoji.py and book/results/cyclegan.py.
"""

import argparse
import hashlib
import json
import sys
import unicodedata
from importlib.metadata import version
from pathlib import Path

import onnxruntime
import torch
from PIL import Image

from coursekit.data import load_images, load_unpaired
from coursekit.data.emoji import emoji_rows
from coursekit.data.emoji_index import codepoints
from coursekit.export import OPSET, TOLERANCE, export_onnx
from coursekit.trainers import VAETrainer

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent
sys.path.append(str(BOOK / "results"))
from record import keep_run, load, provenance  # noqa: E402

CHECKPOINTS = ROOT / "notebooks" / "checkpoints"
MODELS = BOOK / "_extra" / "models"
COMMAND = "python book/make_models.py"

VAE = dict(latent_dim=2, hidden=(160, 80, 40), epochs=20, seed=0)
CODES = 1500
# One row of the held-out emoji each, chosen because 32 pixels show well what they are.
EMOJI = ("1f31d", "1f335", "1f33b", "1f352", "1f353", "1f354")
RUNS = {"vae-digits": "mnist", "dcgan-emoji": "emoji", "cyclegan-emoji": "emoji"}  # and what each was trained on
LICENCES = {
    "mnist": "MNIST: Yann LeCun and Corinna Cortes, CC BY-SA 3.0",
    "emoji": "Noto Emoji: Google, Apache License 2.0, https://github.com/googlefonts/noto-emoji",
}


def train():
    """The VAE whose two codes the reader moves."""
    made = provenance(f"{COMMAND} --train", ("mnist",)) | {"seed": VAE["seed"], "settings": VAE}
    trainer, path = VAETrainer(**VAE, device="cpu"), CHECKPOINTS / "vae-digits.safetensors"
    keep_run(trainer.fit(load_images("mnist"), progress=False), path)
    return made | {"held_out": trainer.evaluate(load_images("mnist", "test"))}


def export():
    """By run, the ONNX files that `coursekit export` makes of it."""
    return {name: export_onnx(CHECKPOINTS / f"{name}.safetensors", MODELS / f"{name}.onnx") for name in RUNS}


def write_codes():
    """Where the encoder puts held-out digits."""
    held_out = load_images("mnist", "test").take(CODES)
    vae = VAETrainer.load(CHECKPOINTS / "vae-digits.safetensors", device="cpu", precision="32-true")
    mu, _ = vae.encode(held_out.images)
    content = {
        "of": f"the first {CODES:,} test images of MNIST",
        "points": [[round(value, 3) for value in row] for row in mu.tolist()],
        "labels": held_out.labels.tolist(),
    }
    (MODELS / "vae-digits.json").write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")


def write_emoji():
    """The same held-out emoji in both styles, as PNG; what to say of each."""
    folder, written = MODELS / "emoji", []
    folder.mkdir(exist_ok=True)
    of_rows = [codepoints()[row] for row in emoji_rows("test")]
    for domain, images in zip("XY", load_unpaired("emoji", "test")):
        for point in EMOJI:
            path = folder / f"{domain}-{point}.png"
            pixels = images.images[of_rows.index(point)].permute(1, 2, 0).numpy()
            Image.fromarray(pixels).save(path, optimize=True)
            written.append(_file(path) | {"domain": domain, "name": unicodedata.name(chr(int(point, 16))).lower()})
    return written


def trained_by(chapter, case):
    """Where a checkpoint of book/results comes from: its run, seed 0."""
    record = load(chapter)
    (row,) = (row for row in record["rows"] if row["case"] == case and row["seed"] == 0)
    return record["runs"][row["run"]] | {"seed": row["seed"]}


def _file(path):
    content = path.read_bytes()
    name = path.relative_to(ROOT).as_posix()
    return {"file": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _graph(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    return _file(path) | {"input": given.name, "shape": given.shape, "output": made.name}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--train", action="store_true", help="train the VAE anew")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)  # the networks are small, and repeat exactly
    MODELS.mkdir(parents=True, exist_ok=True)
    path = MODELS / "models.json"
    origins = {
        "vae-digits": train() if options.train else json.loads(path.read_text("utf-8"))["models"]["vae-digits"]["made"],
        "dcgan-emoji": trained_by("dcgan_emoji", "emoji"),
        "cyclegan-emoji": trained_by("cyclegan", "full"),
    }
    exported = provenance(COMMAND)
    exported["versions"] |= {name: version(name) for name in ("onnx", "onnxscript", "onnxruntime")}
    exports = export()
    write_codes()
    record = {
        "exported": exported,
        "opset": OPSET,
        "equals_torch_to": TOLERANCE,
        "models": {
            name: {
                "made": origins[name],
                "licence_of_data": LICENCES[data],
                "safetensors": _file(CHECKPOINTS / f"{name}.safetensors"),
                "onnx": [_graph(path) for path in exports[name]],
            }
            for name, data in RUNS.items()
        },
        "codes": _file(MODELS / "vae-digits.json"),
        "emoji": {"licence": LICENCES["emoji"], "held_out": True, "files": write_emoji()},
    }
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
