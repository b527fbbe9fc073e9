"""Runs trainings in processes that may be killed: imports torch once, then forks one process for each job on stdin.

Says "ready" then. A job is a line of JSON, {"do": name of a function below, "log": file, ...}. The answers are lines of JSON too:
the process's id when it starts, and its exit code, negative for a signal, when it has ended.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import lightning_fabric  # noqa: F401 (so that no job has to import it)
import torch

from coursekit import checkpoints
from coursekit.errors import CheckpointError
from coursekit.trainers import CycleGANTrainer, DCGANTrainer, VAETrainer, load_trainer

MAKERS = {
    "vae": lambda: VAETrainer(hidden=(12,), latent_dim=3, batch_size=8, ema_decay=0.9, device="cpu"),
    "dcgan": lambda: DCGANTrainer(width=4, noise_dim=4, batch_size=8, ema_decay=0.9, device="cpu"),
    "cyclegan": lambda: CycleGANTrainer(
        width=4, blocks=1, discriminator_layers=1, batch_size=2, pool_size=6, flip=True, device="cpu"
    ),
}


def make(model):
    return MAKERS[model]()


def data(model):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randint(0, 256, (2, 30, 1, 8, 8), generator=generator, dtype=torch.uint8)
    return (x, y[:20]) if model == "cyclegan" else x


def train(job):
    """Train to `steps`, from the file at `path` where there is one, and save there every `every` steps."""
    path = Path(job["path"])
    trainer = load_trainer(path, device="cpu") if path.exists() else make(job["model"])
    if job.get("die_in_save"):
        _die_in_save(job["die_in_save"])
    images = data(job["model"])
    trainer.fit(images, max_steps=job["steps"], checkpoint=path, checkpoint_every=job["every"], progress=False)


def _die_in_save(number):
    """In the save with this number, die by SIGKILL when half of the file has been written."""
    fsync, saves = os.fsync, []

    def die(handle):
        saves.append(handle)
        if len(saves) == number:
            os.ftruncate(handle, os.fstat(handle).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(handle)

    os.fsync = die


def disturb(job):
    """Fit where a save must fail in the middle; what was raised and what is then in the folder go to `report`.

    `how` is "full", where the disk has room for one file but not for the second beside it, "limited", the same
    by a limit on the size of files, or "read-only". Afterwards the cause is removed and the fit goes on.
    """
    folder, model, how = Path(job["folder"]), job["model"], job["how"]
    path, images = folder / "run.safetensors", data(model)
    make(model).fit(images, max_steps=1, checkpoint=job["spare"], progress=False)
    size = Path(job["spare"]).stat().st_size
    if job["mount"]:
        _mount("-t", "tmpfs", "-o", f"size={size * 3 // 2 if how == 'full' else size * 9}", "tmpfs", folder)
    trainer = make(model).fit(images, max_steps=3, checkpoint=path, progress=False)
    before = path.read_bytes()
    if how == "limited":
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, resource.RLIM_INFINITY))
    if how == "read-only":
        _mount("-o", "remount,ro", folder) if job["mount"] else folder.chmod(0o500)
    report = {"error": "none"}
    try:
        trainer.fit(images, max_steps=job["steps"], checkpoint=path, checkpoint_every=5, progress=False)
    except CheckpointError as error:
        report["error"] = str(error)
    report |= {"step": trainer.step, "same": path.read_bytes() == before, "files": os.listdir(folder)}
    report["opens"] = checkpoints.read(path)[1]["step"] == 3
    if how == "limited":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    elif job["mount"]:
        _mount("-o", f"remount,rw,size={size * 9}", folder)
    else:
        folder.chmod(0o700)
    trainer.fit(images, max_steps=job["steps"], checkpoint=path, progress=False)
    Path(job["spare"]).write_bytes(path.read_bytes())
    Path(job["report"]).write_text(json.dumps(report))


def _mount(*arguments):
    subprocess.run(["mount", *map(str, arguments)], check=True)


def main():
    torch.set_num_threads(1)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            try:
                {"train": train, "disturb": disturb}[job["do"]](job)
            except BaseException:
                sys.excepthook(*sys.exc_info())
                sys.stderr.flush()
                os._exit(1)
            os._exit(0)
        print(json.dumps({"process": child}), flush=True)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
