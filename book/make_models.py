"""Make the models that run in the pages of the website, and what these show beside them.

    python book/make_models.py            # from notebooks/checkpoints/
    python book/make_models.py --train    # after training the VAE anew: some minutes on one core

Writes ONNX, codes of held-out digits and held-out emoji to book/_extra/models/, and to models.json there where each
file comes from. The two GANs of emoji are trained by book/results/dcgan_emoji.py and book/results/cyclegan.py.
"""

import argparse
import hashlib
import json
import sys
import unicodedata
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file

from coursekit import checkpoints
from coursekit.data import load_images, load_unpaired
from coursekit.data.emoji import emoji_rows
from coursekit.data.emoji_index import codepoints
from coursekit.export import OPSET, TOLERANCE, UnitRange, export_onnx, to_onnx
from coursekit.networks.cyclegan import ResnetGenerator
from coursekit.networks.dcgan import DCGANGenerator
from coursekit.trainers import VAETrainer

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent
sys.path.append(str(BOOK / "results"))
from record import load, provenance  # noqa: E402

CHECKPOINTS = ROOT / "notebooks" / "checkpoints"
MODELS = BOOK / "_extra" / "models"
COMMAND = "python book/make_models.py"

VAE = dict(latent_dim=2, hidden=(160, 80, 40), epochs=20, seed=0)
CODES = 1500
# One row of the held-out emoji each, chosen because 32 pixels show well what they are.
EMOJI = ("1f31d", "1f335", "1f33b", "1f352", "1f353", "1f354")
LICENCES = {
    "mnist": "MNIST: Yann LeCun and Corinna Cortes, CC BY-SA 3.0",
    "emoji": "Noto Emoji: Google, Apache License 2.0, https://github.com/googlefonts/noto-emoji",
}


def train():
    """The VAE whose two codes the reader moves."""
    made = provenance(f"{COMMAND} --train", ("mnist",)) | {"seed": VAE["seed"], "settings": VAE}
    trainer, path = VAETrainer(**VAE, device="cpu"), CHECKPOINTS / "vae-digits.safetensors"
    trainer.fit(load_images("mnist"), progress=False).save(path)
    # Without what only a resumed run needs, a third of the size; it is still a run.
    tensors, description = checkpoints.read(path)
    weights = {name: value for name, value in tensors.items() if name.startswith("network/")}
    checkpoints.write(path, weights, description)
    return made | {"held_out": trainer.evaluate(load_images("mnist", "test"))}


def vae():
    """The run as it was saved."""
    return VAETrainer.load(CHECKPOINTS / "vae-digits.safetensors", device="cpu", precision="32-true")


def dcgan():
    """G of noise (n, 64), images in [0, 1]."""
    G = DCGANGenerator(noise_dim=64, image_shape=(3, 32, 32), width=24)
    G.load_state_dict(_weights("dcgan-emoji"))
    return UnitRange(G, inputs=False).eval()


def cyclegan(name):
    """G or F, of images in [0, 1]."""
    network = ResnetGenerator((3, 32, 32), width=16, blocks=2)
    network.load_state_dict({key[2:]: value for key, value in _weights("cyclegan-emoji").items() if key[0] == name})
    return UnitRange(network, inputs=True).eval()


def _weights(name):
    """Kept in half precision."""
    weights = load_file(CHECKPOINTS / f"{name}.safetensors")
    return {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}


# By name: the checkpoint, its data, and for each ONNX file what torch computes, the shape of a row, the names.
GRAPHS = {
    "vae-digits": ("mnist", {"vae-digits": (lambda: vae().decode, (2,), ("z", "image"))}),
    "dcgan-emoji": ("emoji", {"dcgan-emoji": (dcgan, (64,), ("z", "image"))}),
    "cyclegan-emoji": (
        "emoji",
        {
            f"cyclegan-emoji-{name}": (partial(cyclegan, name), (3, 32, 32), ("image", "translation"))
            for name in ("G", "F")
        },
    ),
}


def write_graphs():
    export_onnx(CHECKPOINTS / "vae-digits.safetensors", MODELS / "vae-digits.onnx")
    for _, graphs in GRAPHS.values():
        for name, (module, shape, names) in graphs.items():
            if name != "vae-digits":
                (MODELS / f"{name}.onnx").write_bytes(to_onnx(module(), shape, names=names))


def write_codes():
    """Where the encoder puts held-out digits."""
    held_out = load_images("mnist", "test").take(CODES)
    mu, _ = vae().encode(held_out.images)
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
    write_graphs()
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
                "onnx": [
                    _file(MODELS / f"{graph}.onnx") | {"input": names[0], "shape": ["n", *shape], "output": names[1]}
                    for graph, (_, shape, names) in graphs.items()
                ],
            }
            for name, (data, graphs) in GRAPHS.items()
        },
        "codes": _file(MODELS / "vae-digits.json"),
        "emoji": {"licence": LICENCES["emoji"], "held_out": True, "files": write_emoji()},
    }
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
