"""Graded exercises, one module a chapter: what a student's notebook imports.

No right answer is in here, only wrong ones, so that a check can name them.
"""

CHAPTERS = (
    "discriminative_generative",
    "autoencoders",
    "vae",
    "gan_theory",
    "gan_practice",
    "dcgan",
    "cyclegan",
)

# At the top of every notebook.
IMPORTS = """\
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
"""
