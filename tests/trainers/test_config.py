import dataclasses
import inspect
import re

import pytest
import torch

from coursekit.trainers import CycleGANConfig, DCGANConfig
from coursekit.trainers.config import choose_device, choose_precision


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_bf16_is_chosen_only_where_cuda_has_it_in_hardware(monkeypatch, native, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert choose_precision("auto", "cuda") == expected
    assert choose_precision("auto", "cpu") == "32-true"
    assert choose_precision("32-true", "cuda") == "32-true"


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_takes_the_fastest_device_there_is(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device("auto") == expected
    assert choose_device("cpu") == "cpu"


def described(config):
    """What the docstrings of a class and of its bases say of each attribute, by name."""
    found = {}
    for cls in reversed(config.__mro__[:-1]):
        attributes = inspect.cleandoc(cls.__doc__).partition("Attributes\n----------\n")[2]
        for entry in re.split(r"\n(?=\w)", attributes):
            names, _, text = entry.partition(" : ")
            found |= {name: text.partition("\n")[2].split() for name in names.split(", ")}
    return found


@pytest.mark.parametrize("config", [DCGANConfig, CycleGANConfig])
def test_every_option_says_what_it_is_for(config):
    words = described(config)
    assert [f.name for f in dataclasses.fields(config) if len(words[f.name]) < 6] == []
