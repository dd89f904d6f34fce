"""Calls of Slurm's commands, each with a timeout."""

import getpass
import re
import shutil
import subprocess
from collections.abc import Iterable
from typing import NamedTuple

TIMEOUT_S = 60  # a busy controller is slow; a dead one must not hang us


class SlurmError(ValueError):
    """Slurm does not answer, or refuses a request."""


def installed() -> bool:
    """Whether Slurm's commands are on this machine."""
    return shutil.which("sinfo") is not None


def ask(*command: str) -> str:
    """Run one of Slurm's commands and return its output.

    Raises:
        SlurmError: it is not installed, failed, or did not answer within TIMEOUT_S.
    """
    name = command[0]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except FileNotFoundError:
        raise SlurmError(
            f"{name} is not on PATH: start `snakemake --profile slurm` on a machine that submits "
            "jobs to Slurm (a login node), or load the module that provides its commands. Without "
            "a cluster, leave out `--profile slurm`"
        ) from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{name} did not answer within {TIMEOUT_S} s; is Slurm up?") from None
    if done.returncode:
        raise SlurmError(f"{name}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def sinfo(columns: str, partition: str | None = None, *options: str) -> list[str]:
    """Distinct lines of sinfo on the named partitions, or on all.

    Args:
        columns: sinfo's format, such as %P|%l.
    """
    where = [f"--partition={partition}"] if partition else []
    lines = ask("sinfo", "--noheader", *options, *where, f"--format={columns}").splitlines()
    return list(dict.fromkeys(line.strip() for line in lines))


def partition_minutes(partition: str | None) -> int | None:
    """The shortest time limit of the named partitions; None without a limit or without Slurm."""
    if not installed():
        return None
    return min(filter(None, partitions(partition).values()), default=None)


def partitions(names: str | None = None) -> dict[str, int | None]:
    """Time limits in minutes of the named partitions that exist, or of the default partition."""
    wanted = set(names.split(",")) if names else None
    found = {}
    for line in sinfo("%P|%l"):
        name, limit = line.split("|")
        default, name = name.endswith("*"), name.removesuffix("*")
        if name in wanted if wanted else default:
            found[name] = minutes_of(limit)
    return found


def jobs_of_partition(
    partition: str | None, gpus: int, on_gpus: bool, max_jobs: int
) -> tuple[int, str]:
    """The number of jobs that an empty partition runs at once, and its limit as text.

    Args:
        gpus: GPUs per job.
        on_gpus: whether jobs request GPUs; if not, only max_jobs limits them.
        max_jobs: maximum number of jobs in the queue.
    """
    jobs = f"at most {max_jobs} jobs in the queue"
    if not on_gpus or not installed():
        return max_jobs, jobs
    found = [node.split("|")[1] for node in sinfo("%N|%G", partition, "--Node")]
    total = sum(map(_num_gpus, found))
    where = f"{total} GPUs in partition {partition or '(default)'}"
    return max(1, min(max_jobs, total // gpus)), f"{where}; {jobs}"


def _num_gpus(gres: str) -> int:
    """The number of GPUs in sinfo's column %G, such as gpu:h200:4(S:0-1),fan:2."""
    return sum(int(number) for number in re.findall(r"\bgpu:(?:[^:,(]+:)?(\d+)", gres))


def minutes_of(limit: str) -> int | None:
    """Parse Slurm's [days-][[hours:]minutes:]seconds into minutes; None: no limit."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if not found:
        return None
    days, hours, minutes, _ = (int(part or 0) for part in found.groups())
    return 60 * (24 * days + hours) + minutes


def default_account() -> str | None:
    """The user's default account; None without accounting.

    Where no account is given, Snakemake's plugin guesses one and prints warnings.
    """
    user = getpass.getuser()
    options = "--noheader", "--parsable2"
    try:
        found = ask("sacctmgr", *options, "show", "user", user, "format=DefaultAccount")
        return found.strip() or None
    except SlurmError:
        return None


class Job(NamedTuple):
    """A job in the queue."""

    number: str
    state: str
    name: str
    comment: str


def my_jobs() -> list[Job]:
    """The jobs of this user in the queue."""
    lines = ask("squeue", "--noheader", "--me", "--format=%i|%T|%j|%k").splitlines()
    return [Job(*line.split("|", 3)) for line in lines]


def requeue(job: str) -> None:
    """Put this process's own job back into the queue, under the same number.

    If the cluster refuses, the exit status makes Snakemake submit the job again (`retries`).
    """
    print(f"The time limit is near: job {job} goes back into the queue", flush=True)
    try:
        ask("scontrol", "requeue", job)
    except SlurmError as error:
        print(f"warning: job {job} was not put back into the queue: {error}", flush=True)


def memory_used(jobs: Iterable[str]) -> str | None:
    """A line on the job that used the most memory, as a guide for the next request.

    None if the cluster does not record it.
    """
    columns = "--format=JobName,ReqMem,MaxRSS", "--units=M"
    try:
        lines = ask("sacct", "--noheader", "--parsable2", *columns, f"--jobs={','.join(jobs)}")
    except SlurmError:
        return None
    job, requested, largest = "", "", (0.0, "", "")
    for line in lines.splitlines():  # a job, then its steps
        name, asked, used = line.rsplit("|", 2)
        if used:
            largest = max(largest, (float(used.rstrip("M")), job, requested))
        else:
            job, requested = name, asked
    used, job, requested = largest
    of = f" of {float(requested.rstrip('M')) / 1000:.1f} GB requested" if requested else ""
    return f"Memory: at most {used / 1000:.1f} GB used{of}, by job {job}" if used else None
