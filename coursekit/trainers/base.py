"""The loop that every trainer shares. What is particular to a model stands in its own file."""

import dataclasses
import math
import os
import sys
import warnings
from abc import ABC, abstractmethod
from contextlib import contextmanager
from functools import cached_property

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from coursekit import checkpoints
from coursekit.errors import CheckpointError, TrainingDiverged
from coursekit.trainers.batches import Batch, Data, DataSpec, Feed, as_data, as_pair, describe, to_unit
from coursekit.trainers.config import (
    COMPILE_MODES,
    TrainerConfig,
    choose_device,
    choose_precision,
    require,
    require_choice,
)
from coursekit.trainers.failures import at_inference, end_with_parent, ended_with_others, explained, in_a_step
from coursekit.trainers.runtime import (
    InterruptFlag,
    ProgressBar,
    module_randomness,
    seed_modules,
    stream_seed,
    tuned,
)

STREAMS = NOISE, MODULES, ORDER, EVALUATION, SAMPLING, ORDER_Y = range(6)
INFERENCE_IMAGES = 1000
INFERENCE_PIXELS = 2**20  # 1,000 images of up to 32x32, 64 of 128x128, 16 of 256x256


class Trainer(ABC):
    """Base of all trainers: ``fit``, ``save``, ``load``, device, precision, history.

    A subclass names its ``Config``, builds its networks and optimizers, and writes ``training_step``.

    Parameters
    ----------
    config : Config, optional
        The defaults when left out.
    network : nn.Module, optional
        Your own, in place of the one that the configuration describes. A model of several networks
        takes each by its name in ``NETWORKS``.
    device : {"auto", "cpu", "cuda", "mps"}
    precision : {"auto", "32-true", "bf16-mixed"}
        As Lightning Fabric names them; ``"auto"`` is ``"bf16-mixed"`` on CUDA that has it and ``"32-true"`` elsewhere.
    compile : bool or str
        Pass the networks through ``torch.compile`` (a slow first step, faster later ones). A string is its mode:
        ``"reduce-overhead"`` and ``"max-autotune"`` record the networks on CUDA, forward and backward, as CUDA graphs
        and replay them, which saves the launch of every kernel and keeps the memory of one step for each shape of
        batch. Elsewhere they record nothing.
    devices : int
        Processes on this machine. Under ``torchrun`` or ``fabric run`` the launcher decides.
    **overrides
        Fields of ``Config`` to change, such as ``latent_dim=2``.

    Attributes
    ----------
    history : dict of str to list
        ``"step"``, ``"epoch"`` and every term of the loss, one entry a step.
    validation_history : dict of str to list
        The same on the validation images, one entry an epoch.
    step : int
        Steps done since the run began.
    interrupted : bool
        Whether Ctrl-C ended the last ``fit``.
    inference_pixels : int
        What evaluation, samples and every other prediction take at once: up to 1,000 images, and no more of them
        than have so many pixels (height x width) together, but at least one. Lower it where they run out of memory.
        What comes out is the same up to rounding, but for ``evaluate`` with noise, which is drawn batch by batch.
    """

    Config: type = TrainerConfig
    NETWORKS = ("network",)
    PREDICTORS = 1  # so many of them, from the first, predict; a moving average follows these
    TAKES_POINTS = False
    TAKES_PAIRS = False
    CHANNELS_LAST = False  # memory layout of weights, and so of activations: faster for plain convolutions

    def __init__(self, config=None, *, device="auto", precision="auto", compile=False, devices=1, **overrides):
        config = config if config is not None else self.Config()
        if not isinstance(config, self.Config):
            raise TypeError(f"{type(self).__name__} takes a {self.Config.__name__}, got {type(config).__name__}")
        if not isinstance(compile, bool):
            require_choice("compile", compile, (False, True, *COMPILE_MODES))
        self._own_networks = _taken(overrides, self.NETWORKS)
        fields = {field.name for field in dataclasses.fields(self.Config)}
        unknown = sorted(set(overrides) - fields)
        if unknown:
            raise TypeError(
                f"{type(self).__name__} has no setting {', '.join(unknown)}. Its settings: {', '.join(sorted(fields))}"
            )
        self.config = dataclasses.replace(config, **overrides)
        self.device, self.precision, self.compile, self.devices = device, precision, compile, devices
        self.history, self.validation_history = {}, {}
        self.step = 0
        self.interrupted = False
        self.inference_pixels = INFERENCE_PIXELS
        self.data_spec = None

    # What a subclass writes

    @abstractmethod
    def build_networks(self, spec):
        """Return a dict of name to nn.Module for data described by `spec` (a DataSpec)."""

    def build_optimizers(self):
        """Return a dict of name to optimizer. Default: Adam on each network with the configured lr."""
        return {name: self.adam(network) for name, network in self.networks.items()}

    def initialise(self, data):  # noqa: B027 (a hook: most models leave it empty)
        """Set what the networks' first weights take from the training data. Default: nothing.
        `data` is a `Data`, or a pair of them."""

    def can_compile(self, name):
        """Whether ``compile`` is for the named network: not where a step walks its graph twice."""
        return True

    @abstractmethod
    def training_step(self, batch):
        """Do one step of the algorithm on a `Batch`; return its terms as a dict of scalar tensors."""

    @abstractmethod
    def compute_loss(self, network, batch):
        """Return the terms of the loss on `batch` as a dict of scalar tensors, ``"loss"`` among them."""

    # What a subclass calls

    def adam(self, module, *, lr=None, **options):
        """Adam on the parameters of `module`, fused where the device has it; the configured lr if None."""
        fused = self.fabric.device.type in ("cpu", "cuda", "mps")
        return torch.optim.Adam(module.parameters(), lr=lr or self.config.lr, fused=fused, **options)

    def state(self):
        """Tensors that a resumed run needs besides networks and optimizers, by name. Default: none."""
        return {}

    def set_state(self, tensors):  # noqa: B027 (a hook, as `state` is)
        """Take back what `state` gave."""

    def descend(self, names, loss, batch):
        """One step of the optimizers called `names` (a str or several) down `loss`, a mean over the rows of `batch`."""
        optimizers = [self.optimizers[name] for name in ([names] if isinstance(names, str) else names)]
        for optimizer in optimizers:
            optimizer.zero_grad()
        self.fabric.backward(loss if batch.weight == 1 else loss * batch.weight)
        for optimizer in optimizers:
            optimizer.step()

    @contextmanager
    def frozen(self, *names):
        """Give the named networks without gradients for their weights: what a generator's step needs of its judge."""
        weights = [w for name in names for w in self.networks[name].parameters() if w.requires_grad]
        for weight in weights:
            weight.requires_grad_(False)
        try:
            # Not the wrapped ones: under several processes those wait for gradients of their weights.
            with self.fabric.autocast():
                yield tuple(self._in_precision(self.compiled[name]) for name in names)
        finally:
            for weight in weights:
                weight.requires_grad_(True)

    def _in_precision(self, network):
        convert = self.fabric.strategy.precision.convert_input
        return lambda *inputs: network(*convert(inputs))

    def noise(self, batch, *shape, kind="normal"):
        """Noise for `batch`, (n, *shape): drawn for the global batch, so that it does not depend on the
        number of processes, of which this process's rows are returned. `kind`: "normal" or "uniform" on [0, 1)."""
        draw = {"normal": torch.randn, "uniform": torch.rand}[kind]
        noise = draw(batch.global_size, *shape, generator=batch.generator, device=batch.x.device)
        return noise[batch.rows]

    def batch_mean(self, rows, batch):
        """Mean of `rows`, (n, ...), over the global batch, differentiable across processes."""
        total = rows.sum(0)
        if len(rows) < batch.global_size:
            total = self.fabric.all_gather(total, sync_grads=True).sum(0)
        return total / batch.global_size

    # Fitting

    def fit(
        self,
        images,
        *,
        epochs=None,
        max_steps=None,
        validation=None,
        checkpoint=None,
        checkpoint_every=None,
        progress=True,
        workers=2,
    ):
        """Train until `epochs` passes (or `max_steps` steps) have been done since the run began.

        A fitted or loaded trainer goes on where it stopped: the result equals that of one
        uninterrupted run, bit for bit on the same device.

        Parameters
        ----------
        images : ImageSet, FolderImages or Tensor
            (N, C, H, W), uint8, or float in [0, 1]. A pair of these for a model of two domains.
        epochs : int, optional
            Default: ``config.epochs``, unless `max_steps` is given.
        max_steps : int, optional
            Stop after so many steps in all, even within an epoch. With both, whichever comes first.
        validation : ImageSet or Tensor, optional
            Evaluated after each epoch into ``validation_history``.
        checkpoint : path, optional
            Save there when done, and every `checkpoint_every` steps.
        checkpoint_every : int, optional
        progress : bool
            Show a progress bar with the losses on stderr.
        workers : int
            Processes that decode the images of a folder. Sets in memory need none.

        Returns
        -------
        self

        Raises
        ------
        TrainingDiverged
            On the first loss that is not finite. A checkpoint on disk stays as it was.
        OutOfMemory
            When the device has no memory left for a step; the message names what to lower.
        ProcessLost
            When another process of this run has ended.
        ValueError
            When the data do not fit this run.

        Notes
        -----
        Ctrl-C ends the fit after the step under way: the trainer stays usable, and another ``fit``
        continues. On CUDA losses are read, and divergence is noticed, every 50 steps, because
        reading one waits for the device.

        The same seed on the same device gives the same bits, in one run or in several parts, whatever `workers`,
        `progress`, `checkpoint_every` and `validation` are. What gives that up: another device, number of threads,
        number of processes, `precision` or ``compile``, or another release of torch, all of which change the order
        of sums; and on CUDA kernels that add in no fixed order (convolutions; reflection padding, which
        `CycleGANTrainer` has). ``torch.use_deterministic_algorithms(True)`` with ``CUBLAS_WORKSPACE_CONFIG=:4096:8``
        in the environment fixes the order there too, for some speed.
        """
        if checkpoint_every is not None:
            require(checkpoint is not None, "checkpoint_every needs checkpoint=, the file to write")
            require(checkpoint_every >= 1, f"checkpoint_every must be at least 1, got {checkpoint_every}")
        data = self._sets(images)
        spec = describe(*data)
        if self.data_spec is None:
            self._build(spec)
            self.initialise(data if self.TAKES_PAIRS else data[0])
        self._check_same_data(spec)
        steps_per_epoch = self.steps_per_epoch
        if epochs is None and max_steps is None:
            epochs = self.config.epochs
        limits = [max_steps, None if epochs is None else steps_per_epoch * epochs]
        last_step = min(limit for limit in limits if limit is not None)
        if self.step >= last_step:
            warnings.warn(
                f"nothing to do: this run has {self.step} steps ({self.step / steps_per_epoch:.3g} epochs) "
                "behind it already; pass larger epochs or max_steps to go on",
                stacklevel=2,
            )
            return self

        device = self.fabric.device
        feeds = [Feed(part, device, workers) for part in data]
        pending = []
        read_every = 1 if device.type == "cpu" else 50
        self.interrupted = False
        for module in self.wrapped.values():
            module.train()
        with (
            tuned(device),
            module_randomness(device),
            InterruptFlag() as interrupt,
            ProgressBar(self.step, last_step, type(self).__name__, progress and self.fabric.is_global_zero) as bar,
            ended_with_others(self),
            explained(self, in_a_step),
        ):
            while self.step < last_step and not interrupt.raised:
                epoch, position = divmod(self.step, steps_per_epoch)
                if position == 0 or self.step == bar.first:
                    rows = self._rows_of_epoch(epoch, position)
                    batches = [feed.batches(indices) for feed, indices in zip(feeds, rows)]
                # Each process has a stream of its own for its modules: their dropout sees other rows.
                stream = MODULES + len(STREAMS) * self.fabric.global_rank
                seed_modules(device, stream_seed(self.config.seed, stream, self.step))
                batch = self._batch(position, *(next(part) for part in batches))
                if self.compile:
                    torch.compiler.cudagraph_mark_step_begin()
                terms = self.training_step(batch)
                for name, average in self.averages.items():
                    average.update_parameters(self.networks[name])
                self.step += 1
                pending.append((self.step, self.step / steps_per_epoch, batch.weight, terms))
                if len(pending) >= read_every or self.step == last_step:
                    self._read(pending)
                    bar.show(self.step, self.history)
                if position == steps_per_epoch - 1 and validation is not None:
                    self._read(pending)
                    self._validate(validation, self.step / steps_per_epoch)
                if checkpoint_every is not None and self.step % checkpoint_every == 0:
                    self._read(pending)
                    self.save(checkpoint)
            self._read(pending)
        if interrupt.raised:
            self.interrupted = True
            print(f"Stopped by Ctrl-C after step {self.step} of {last_step}; fit again to go on.", file=sys.stderr)
        if checkpoint is not None:
            with explained(self, in_a_step):
                self.save(checkpoint)
        return self

    def evaluate(self, images):
        """Mean of every term of the loss over `images`, with fixed noise and without training.

        Of a pair of sets, over as many images as the smaller has.

        Returns
        -------
        dict of str to float
            The keys of a training step. A term that is not a mean over images, such as the KL of mean
            activations, is averaged over batches (see ``inference_pixels``).

        Raises
        ------
        OutOfMemory
            When the device has no memory left; the message names what to lower.
        """
        data = self._sets(images)
        self._check_same_data(describe(*data), size_matters=False)
        device = self.fabric.device
        size, labels = min(len(part.images) for part in data), data[0].labels
        totals = {}
        with self._inference() as network:
            for number, (start, stop) in enumerate(self._parts(size)):
                x, *y = (to_unit(part.rows(start, stop, device)) for part in data)
                batch = Batch(
                    x=x,
                    labels=None if labels is None else labels[start:stop].to(device),
                    y=y[0] if y else None,
                    rows=slice(None),
                    global_size=len(x),
                    weight=1,
                    generator=self._generator.manual_seed(stream_seed(self.config.seed, EVALUATION, number)),
                )
                for name, value in self.compute_loss(network, batch).items():
                    totals[name] = totals.get(name, 0.0) + value.item() * len(x)
        return {name: total / size for name, total in totals.items()}

    # Saving and loading

    def save(self, path):
        """Write the whole run to one file, atomically. Under several processes the first one writes.

        Raises
        ------
        CheckpointError
            When there is nothing to save yet, or the folder cannot be written.
        """
        self._need_fit()
        if self.fabric.is_global_zero:
            tensors, optimizers = self._state()
            description = {
                "trainer": type(self).__name__,
                "config": dataclasses.asdict(self.config),
                "data": dataclasses.asdict(self.data_spec),
                "step": self.step,
                "own_networks": sorted(self._own_networks),
                "optimizers": optimizers,
            }
            checkpoints.write(path, tensors, description)
        self.fabric.barrier()
        return self

    @classmethod
    def load(cls, path, *, device="auto", precision="auto", compile=False, devices=1, **networks):
        """Return the trainer that `save` wrote, ready to predict or to fit on.

        Parameters
        ----------
        path : str or Path
        device, precision, compile, devices
            As in the constructor; they may differ from those of the run.
        **networks : nn.Module
            Needed where the run was made with networks of your own: ones of the same shape, by name.

        Raises
        ------
        CheckpointError
            When the file is missing, damaged, or another trainer's.
        """
        options = dict(device=device, precision=precision, compile=compile, devices=devices)
        return cls._from_run(path, *checkpoints.read(path), **options, **networks)

    # Inside

    @classmethod
    def _from_run(cls, path, tensors, description, **options):
        """The trainer of a run that was read already; `path` is for messages."""
        if description.get("trainer") != cls.__name__:
            raise CheckpointError(
                f"{path} was saved by {description.get('trainer')}, not {cls.__name__}. "
                "coursekit.trainers.load_trainer(path) opens either."
            )
        missing = [name for name in description.get("own_networks", []) if name not in options]
        if missing:
            raise CheckpointError(
                f"{path} was trained with a {missing[0]} of its own. Pass one of the same shape as {missing[0]}=."
            )
        try:
            trainer = cls(cls.Config(**_with_tuples(description["config"])), **options)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} does not fit this {cls.__name__}: {error}") from error
        _ = trainer.fabric  # a device that is not there is no fault of the file
        try:
            trainer._build(DataSpec(**_with_tuples(description["data"])))
            trainer._restore(tensors, description)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{path} does not fit this {cls.__name__}: {error}") from error
        return trainer

    @cached_property
    def fabric(self):
        """The Lightning Fabric that owns device, precision and processes."""
        from lightning_fabric import Fabric
        from lightning_fabric.strategies import DDPStrategy

        devices, nodes = self.devices, 1
        if "LOCAL_WORLD_SIZE" in os.environ:
            devices = int(os.environ["LOCAL_WORLD_SIZE"])
            nodes = int(os.environ["WORLD_SIZE"]) // devices
        device = choose_device(self.device)
        fabric = Fabric(
            accelerator=device,
            devices=devices,
            num_nodes=nodes,
            precision=choose_precision(self.precision, device),
            strategy=DDPStrategy(broadcast_buffers=False) if devices * nodes > 1 else "auto",
        )
        if "LT_CLI_USED" not in os.environ:  # `fabric run` has launched the processes already
            fabric.launch()
            if fabric.local_rank > 0 and "LOCAL_WORLD_SIZE" not in os.environ:
                end_with_parent()
        return fabric

    @property
    def network(self):
        """The network that predicts, or the moving average of its weights where one is kept."""
        return self.predictor(self.NETWORKS[0])

    def predictor(self, name):
        """The named network, or the moving average of its weights where one is kept."""
        self._need_fit()
        return self.averages[name].module if name in self.averages else self.networks[name]

    @property
    def steps_per_epoch(self):
        """Minibatches in one pass over the data of this run; the last may be smaller."""
        self._need_fit()
        return -(-self._epoch_size // self.config.batch_size)

    @property
    def _epoch_size(self):
        return max(self.data_spec.size, self.data_spec.size_y or 0)

    def _sets(self, images):
        """One `Data`, or the two of a pair."""
        return as_pair(images) if self.TAKES_PAIRS else (as_data(images, self.TAKES_POINTS),)

    def _need_fit(self):
        if self.data_spec is None:
            raise CheckpointError(f"this {type(self).__name__} has no network yet: fit it, or load a saved run.")

    def _build(self, spec):
        device = self.fabric.device
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.config.seed)
            networks = self._own_networks
            if len(networks) < len(self.NETWORKS):
                networks = self.build_networks(spec) | networks
        layout = torch.channels_last if self.CHANNELS_LAST else torch.preserve_format
        self.networks = {name: networks[name].to(device, memory_format=layout) for name in self.NETWORKS}
        self.averages = {}
        for network in self.networks.values():
            self.fabric.strategy.precision.convert_module(network)
        if self.config.ema_decay:
            for name in self.NETWORKS[: self.PREDICTORS]:
                self.averages[name] = AveragedModel(
                    self.networks[name], multi_avg_fn=get_ema_multi_avg_fn(self.config.ema_decay), use_buffers=True
                )
        raw = self.build_optimizers()
        self._raw_optimizers = raw
        self.optimizers = {name: self.fabric.setup_optimizers(optimizer) for name, optimizer in raw.items()}
        mode = self.compile if isinstance(self.compile, str) else "default"
        self.compiled = {
            name: torch.compile(network, mode=mode) if self.compile and self.can_compile(name) else network
            for name, network in self.networks.items()
        }
        self.wrapped = {name: self.fabric.setup_module(network) for name, network in self.compiled.items()}
        self._generator = torch.Generator(device=device)
        self.data_spec = spec

    def _check_same_data(self, spec, size_matters=True):
        self._need_fit()
        known = self.data_spec
        if spec.image_shape != known.image_shape:
            raise ValueError(
                f"this run was fitted on images of shape {known.image_shape}; these have {spec.image_shape}"
            )
        if size_matters and _sizes(spec) != _sizes(known):
            raise ValueError(
                f"this run was fitted on {_sizes(known)} images and its data order depends on that; "
                f"these are {_sizes(spec)}. Fit a new trainer."
            )

    def _rows_of_epoch(self, epoch, position):
        """For each set, the row numbers of this process's minibatches, from the one at `position` on.

        The smaller of two sets goes round, in a new order each time, until the larger is through.
        """
        rows = []
        for stream, size in zip((ORDER, ORDER_Y), (self.data_spec.size, self.data_spec.size_y)):
            if size is not None:
                generator = torch.Generator().manual_seed(stream_seed(self.config.seed, stream, epoch))
                rounds = -(-self._epoch_size // size)
                order = torch.cat([torch.randperm(size, generator=generator) for _ in range(rounds)])
                minibatches = order[: self._epoch_size].split(self.config.batch_size)[position:]
                rows.append([minibatch[self._share(len(minibatch))] for minibatch in minibatches])
        return rows

    def _share(self, size):
        """The rows of this process, of a global batch of `size`."""
        ranks, rank = self.fabric.world_size, self.fabric.global_rank
        require(size >= ranks, f"the last batch of an epoch has {size} images for {ranks} processes; change batch_size")
        return slice(size * rank // ranks, size * (rank + 1) // ranks)

    def _batch(self, position, x_and_labels, y_and_labels=(None, None)):
        x, labels = x_and_labels
        size = min(self.config.batch_size, self._epoch_size - position * self.config.batch_size)
        ranks = self.fabric.world_size
        return Batch(
            x=x,
            labels=labels,
            y=y_and_labels[0],
            rows=self._share(size),
            global_size=size,
            weight=1 if ranks == 1 else len(x) * ranks / size,
            generator=self._generator.manual_seed(stream_seed(self.config.seed, NOISE, self.step)),
        )

    def _read(self, pending):
        """Move finished steps into the history; raise at the first that is not finite."""
        if not pending:
            return
        names = list(pending[0][-1])
        values = torch.stack([torch.stack([terms[name].detach() for name in names]) for *_, terms in pending]).float()
        if self.fabric.world_size > 1:
            weights = torch.tensor([weight for _, _, weight, _ in pending], device=values.device)
            values = self.fabric.all_reduce(values * weights[:, None], reduce_op="mean")
        for (step, epoch, *_), row in zip(pending, values.tolist()):
            entry = {"step": step, "epoch": epoch, **dict(zip(names, row))}
            for name, value in entry.items():
                self.history.setdefault(name, []).append(value)
            for name in names:
                if not abs(entry[name]) < float("inf"):
                    raise TrainingDiverged(
                        f"{name} is {entry[name]} at step {step}. Lower the learning rate (lr={self.config.lr}), or go "
                        "back to a checkpoint; the weights of this trainer are not to be used."
                    )
        pending.clear()

    def _validate(self, images, epoch):
        entry = {"step": self.step, "epoch": epoch, **self.evaluate(images)}
        for name, value in entry.items():
            self.validation_history.setdefault(name, []).append(value)

    @contextmanager
    def _inference(self):
        """Give the network that predicts, all networks in evaluation mode, in float32 and without gradients;
        restore their modes after."""
        modules = [self.network, *(average.module for average in self.averages.values()), *self.networks.values()]
        modes = [module.training for module in modules]
        for module in modules:
            module.eval()
        try:
            with torch.no_grad(), tuned(self.fabric.device), explained(self, at_inference):
                yield self.network
        finally:
            for module, mode in zip(modules, modes):
                module.train(mode)

    @property
    def inference_batch(self):
        """Images that evaluation and predictions take at once: see ``inference_pixels``."""
        pixels = math.prod(self.data_spec.image_shape[1:])  # of points, 1
        return max(1, min(INFERENCE_IMAGES, self.inference_pixels // pixels))

    def _parts(self, size):
        """(start, stop) of each batch of a prediction for `size` rows."""
        return [(start, min(start + self.inference_batch, size)) for start in range(0, size, self.inference_batch)]

    def _predict(self, function, images):
        """`function(network, x)` over `images` in `_parts`; a tensor or tuple of tensors on the CPU."""
        data = as_data(images, self.TAKES_POINTS)
        self._check_same_data(describe(data), size_matters=False)
        return self._over(data, lambda network, pixels: function(network, to_unit(pixels)))

    def _in_batches(self, function, rows):
        """`function(network, part)` over the rows of a tensor, in `_parts`; a tensor on the CPU."""
        return self._over(Data(rows, None, "tensor", None), function)

    def _over(self, data, function):
        outputs = []
        with self._inference() as network:
            for start, stop in self._parts(len(data.images)):
                output = function(network, data.rows(start, stop, self.fabric.device))
                outputs.append(tuple(_on_cpu(o) for o in output) if isinstance(output, tuple) else _on_cpu(output))
        if isinstance(outputs[0], tuple):
            return tuple(torch.cat(parts) for parts in zip(*outputs))
        return torch.cat(outputs)

    def _state(self):
        tensors = {}
        for kind, modules in (("network", self.networks), ("average", self.averages)):
            for name, module in modules.items():
                tensors |= {f"{kind}/{name}/{key}": value for key, value in module.state_dict().items()}
        tensors |= {f"state/{name}": value for name, value in self.state().items()}
        groups = {}
        for name, optimizer in self._raw_optimizers.items():
            state = optimizer.state_dict()
            groups[name] = state["param_groups"]
            for index, slots in state["state"].items():
                tensors |= {f"optimizer/{name}/{index}/{slot}": value for slot, value in slots.items()}
        for kind, history in (("history", self.history), ("validation", self.validation_history)):
            tensors |= {f"{kind}/{name}": torch.tensor(values, dtype=torch.float64) for name, values in history.items()}
        return tensors, groups

    def _restore(self, tensors, description):
        tree = {}
        for key, value in tensors.items():
            kind, rest = key.split("/", 1)
            tree.setdefault(kind, {})[rest] = value
        for kind, modules in (("network", self.networks), ("average", self.averages)):
            for name, module in modules.items():
                module.load_state_dict(_below(tree.get(kind, {}), name))
        for name, optimizer in self._raw_optimizers.items():
            state = {}
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            for key, value in _below(tree.get("optimizer", {}), name).items():
                index, slot = key.split("/")
                state.setdefault(int(index), {})[slot] = _laid_out_as(value, weights[int(index)])
            groups = [_with_tuples(group) | {"params": group["params"]} for group in description["optimizers"][name]]
            optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.set_state(tree.get("state", {}))
        self.history, self.validation_history = (
            {name: values.tolist() for name, values in tree.get(kind, {}).items()} for kind in ("history", "validation")
        )
        for history in (self.history, self.validation_history):
            if "step" in history:
                history["step"] = [int(step) for step in history["step"]]
        self.step = description["step"]


def _taken(overrides, names):
    """Remove the entries called `names` from `overrides`; return those that are not None."""
    taken = {name: overrides.pop(name, None) for name in names}
    return {name: value for name, value in taken.items() if value is not None}


def _sizes(spec):
    return spec.size if spec.size_y is None else f"{spec.size} and {spec.size_y}"


def _on_cpu(tensor):
    return tensor.float().cpu()


def _laid_out_as(value, weight):
    """`value` in the memory order of `weight`: a fused optimizer walks through both in the order of memory."""
    return torch.empty_like(weight, dtype=value.dtype).copy_(value) if value.shape == weight.shape else value


def _below(tensors, name):
    prefix = f"{name}/"
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _with_tuples(fields):
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
