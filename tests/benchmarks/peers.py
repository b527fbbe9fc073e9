"""The networks of the well-known public implementations, from a checkout that the user has.

Their classes run under the plain loop, which has their step. Of a script that trains when imported only the classes
are taken.
"""

import ast
import functools
from pathlib import Path

import cyclegan_step
import dcgan_step
from _sides import Side

DCGAN, CYCLEGAN = Path("dcgan", "main.py"), Path("models", "networks.py")


class NoCheckout(ValueError):
    """A path that holds neither implementation."""


def sides(path, on):
    """The sides of the workloads that the checkout at `path` is for.

    Raises
    ------
    NoCheckout
    """
    if (path / DCGAN).is_file():
        names = {"dcgan-64": dcgan_step}
        make, source, classes = dcgan_networks, path / DCGAN, ("Generator", "Discriminator")
    elif (path / CYCLEGAN).is_file():
        names = {"cyclegan-128": cyclegan_step, "cyclegan-256": cyclegan_step}
        make, source, classes = cyclegan_networks, path / CYCLEGAN, ("ResnetGenerator", "NLayerDiscriminator")
    else:
        raise NoCheckout(
            f"--peer {path} is no checkout of pytorch/examples ({DCGAN.as_posix()}) "
            f"or junyanz/pytorch-CycleGAN-and-pix2pix ({CYCLEGAN.as_posix()})"
        )
    if missing := [name for name in classes if name not in _definitions(source)]:
        raise NoCheckout(f"--peer {path}: {source.relative_to(path).as_posix()} has no class {', '.join(missing)}")
    networks = functools.partial(make, str(source.resolve()))
    return {
        name: Side(module.Plain, {**module.SETTINGS[name], "device": on, "networks": networks})
        for name, module in names.items()
    }


def dcgan_networks(source, shape, width):
    """G and D of pytorch/examples, for the plain loop."""
    import torch

    theirs = _classes(source, nz=dcgan_step.NOISE_DIM, ngf=width, ndf=width, nc=shape[0])
    torch.manual_seed(0)
    generator, discriminator = theirs["Generator"](0), theirs["Discriminator"](0)
    for network in (generator, discriminator):
        network.apply(theirs["weights_init"])
    return torch.nn.Sequential(torch.nn.Unflatten(1, (-1, 1, 1)), generator), discriminator


def cyclegan_networks(source, shape, blocks):
    """G, F, D_X and D_Y of junyanz/pytorch-CycleGAN-and-pix2pix, for the plain loop."""
    import torch

    from coursekit.networks.dcgan import normal_weights

    theirs, channels = _classes(source), shape[0]
    norm = functools.partial(torch.nn.InstanceNorm2d, affine=False, track_running_stats=False)
    torch.manual_seed(0)
    translators = [theirs["ResnetGenerator"](channels, channels, norm_layer=norm, n_blocks=blocks) for _ in range(2)]
    judges = [theirs["NLayerDiscriminator"](channels, norm_layer=norm) for _ in range(2)]
    return tuple(normal_weights(network) for network in (*translators, *judges))


def _definitions(source):
    tree = ast.parse(Path(source).read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}


def _classes(source, **variables):
    """The classes and functions of a file, made without running the rest of it."""
    import torch

    names = {"__name__": "peer", "torch": torch, "nn": torch.nn, "init": torch.nn.init, "functools": functools}
    names |= {"lr_scheduler": torch.optim.lr_scheduler, **variables}
    tree = ast.Module([*_definitions(source).values()], [])
    exec(compile(tree, source, "exec"), names)
    return names
