"""``coursekit grade``: the command line of grading. Imports nothing heavy until it runs."""

import os
import re
import secrets
from pathlib import Path

import click

from coursekit.errors import CoursekitError
from coursekit.exercises import CHAPTERS

DEFAULT_SECRET = Path("secret.key")
MIN_SECRET = 16


class _Shard(click.ParamType):
    name = "PART/PARTS"

    def convert(self, value, param, ctx):
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", value)
        part, parts = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= part <= parts:
            self.fail(f"{value!r} is not like 3/20", param, ctx)
        return part, parts


class _Allowed(click.ParamType):
    name = "STUDENT:TASK"

    def convert(self, value, param, ctx):
        student, colon, task = value.rpartition(":")
        if not (student and colon and task):
            self.fail(f"{value!r} is not like ada:kl", param, ctx)
        return student, task


class Command(click.Command):
    """A command whose epilog stays as it was written."""

    def format_epilog(self, ctx, formatter):
        formatter.write(f"\n{self.epilog}\n")


@click.command(
    cls=Command,
    epilog="Example: coursekit grade handed-in/ --assignment vae --out marks --jobs 2 --secret-file secret.key",
)
@click.argument("submissions", required=False, metavar="SUBMISSIONS|doctor|make-secret")
@click.option("--assignment", type=click.Choice(CHAPTERS))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for marks and reports.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Submissions at a time.")
@click.option(
    "--secret-file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=DEFAULT_SECRET,
    show_default=True,
    help="The class's secret, from which hidden cases are drawn.",
)
@click.option("--shard", type=_Shard(), help="Grade one of several parts of the class, such as 3/20.")
@click.option(
    "--rubric",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A filled-in rubric.csv from elsewhere, in place of the one in --out.",
)
@click.option(
    "--allow-reference",
    type=_Allowed(),
    multiple=True,
    help="Let this answer call coursekit's own implementation; may be repeated.",
)
@click.option(
    "--roster",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="CSV with the columns submission (a name in the folder) and student (the id to use).",
)
@click.option("--unsafe", is_flag=True, help="Grade even without a working sandbox. The reports say so.")
@click.option(
    "--gradescope",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write an autograder for Gradescope instead of grading.",
)
@click.option("--quiet", is_flag=True, help="No progress bar.")
def grade(
    submissions, assignment, out, jobs, secret_file, shard, rubric, allow_reference, roster, unsafe, gradescope, quiet
):
    """Grade a folder of SUBMISSIONS.

    "doctor" instead of a folder checks the sandbox; "make-secret" makes the file that hidden cases are drawn from.
    """
    if submissions == "doctor":
        return _doctor()
    if submissions == "make-secret":
        return _make_secret(secret_file)
    if assignment is None:
        raise click.UsageError(f"--assignment is missing: one of {', '.join(CHAPTERS)}")
    if gradescope:
        from coursekit.grading.gradescope import write_bundle

        archive = write_bundle(gradescope, assignment, read_secret(secret_file))
        click.echo(f"{archive}: upload it to Gradescope; it holds the secret, so show it to nobody")
        return None
    if submissions is None or out is None:
        raise click.UsageError("give a folder of submissions, and --out, a folder for the marks")
    return _grade(
        Path(submissions), assignment, out, jobs, read_secret(secret_file), shard, rubric, allow_reference, roster,
        unsafe, quiet, [path for path in (secret_file, rubric, roster) if path],
    )  # fmt: skip


def _grade(folder, assignment, out, jobs, secret, shard, rubric, allow_reference, roster, unsafe, quiet, besides):
    import torch

    from coursekit.grading.classroom import Classroom, Interrupted, Sessions
    from coursekit.grading.key import load_key
    from coursekit.grading.reports import write_reports
    from coursekit.grading.rubric import merge_rubric, read_rubric, write_rubric
    from coursekit.grading.submissions import read_roster

    torch.set_num_threads(1)
    key = load_key(assignment)
    for student, task in allow_reference:
        if task not in key.assignment.tasks:
            raise click.UsageError(f"--allow-reference {student}:{task}: {assignment} has no task {task}")
    sandbox = choose_sandbox(unsafe)
    sheet = rubric or out / "rubric.csv"
    awards = read_rubric(sheet, key.assignment) if rubric or sheet.exists() else {}
    names = read_roster(roster) if roster else {}
    classroom = Classroom(
        key,
        secret,
        out,
        Sessions(key.assignment, sandbox),
        sandbox=sandbox,
        allow_reference=allow_reference,
        roster=names,
        besides=besides,
    )
    try:
        marked = classroom.grade(folder, jobs=jobs, shard=shard, progress=not quiet)
    except Interrupted as error:
        click.echo(f"coursekit: {error}", err=True)
        raise click.exceptions.Exit(130) from None
    done = f"{classroom.graded} graded, {classroom.reused} unchanged"
    if shard:
        click.echo(f"{out}: part {shard[0]} of {shard[1]}, {done}; when all parts are, run once without --shard")
        return
    to_read = write_rubric(marked, key.assignment, out, awards)
    marked = merge_rubric(marked, key.assignment, awards)
    write_reports(marked, key.assignment, out)
    failed = [one.student for one in marked if "grader-error" in one.flags]
    click.echo(f"{out / 'grades.csv'}: {len(marked)} students, {done}")
    if to_read:
        left = sum(len(one.pending) for one in marked)
        click.echo(f"{out / 'rubric.csv'}: {to_read} answers in words, {left} to be read; fill it in and run again")
    if sandbox != "bwrap":
        click.echo(f"the sandbox was {sandbox!r}, weaker than bubblewrap; the reports say so", err=True)
    if failed:
        raise CoursekitError(f"the grader failed on {', '.join(failed)}; see {out / 'grade.log'}")


def choose_sandbox(unsafe):
    """The strongest sandbox that works here.

    Raises
    ------
    CoursekitError
        It is weaker than bubblewrap, and `unsafe` is not set.
    """
    from coursekit.grading.doctor import working_sandboxes

    working = working_sandboxes()
    if "bwrap" in working:
        return "bwrap"
    if not unsafe:
        raise CoursekitError(
            "there is no working sandbox, and students' code is not run without one: "
            "`coursekit grade doctor` says how to mend it; --unsafe grades all the same"
        )
    return "uid" if "uid" in working else "none"


def read_secret(path):
    """The class's secret.

    Raises
    ------
    CoursekitError
        There is none, or it is too short to be one.
    """
    try:
        secret = path.read_bytes().strip()
    except FileNotFoundError:
        raise CoursekitError(
            f"there is no secret file {path}: make one with `coursekit grade make-secret --secret-file {path}` and keep "
            "it, for another one means other hidden cases"
        ) from None
    if len(secret) < MIN_SECRET:
        raise CoursekitError(f"the secret in {path} is shorter than {MIN_SECRET} bytes; `coursekit grade make-secret`")
    return secret


def _make_secret(path):
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CoursekitError(f"{path} is there already; a new secret would change all hidden cases") from None
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32) + "\n")
    click.echo(f"{path}: keep it, and keep it from students; never commit it")


def _doctor():
    from coursekit.doctor import lines
    from coursekit.grading.doctor import examine

    report, problems = examine()
    click.echo("\n".join(lines(report, problems)))
    click.echo("to fix: nothing" if not problems else "until then: --unsafe grades without a sandbox")
    if problems:
        raise click.exceptions.Exit(1)
