"""Slurm's own commands, asked with a time limit; none of them runs where Slurm is not installed."""

import getpass
import math
import re
import shutil
import subprocess

PATIENCE_S = 60  # a busy controller may take long; a dead one must not hang us


class SlurmError(ValueError):
    """Slurm cannot be asked, or refuses."""


def installed() -> bool:
    """Whether Slurm's commands are on this machine."""
    return shutil.which("sinfo") is not None


def ask(*command: str) -> str:
    """Return what a command of Slurm's prints.

    Raises:
        SlurmError: it failed, or gave no answer in PATIENCE_S.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command[0]} gave no answer in {PATIENCE_S} s; is Slurm up?") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise SlurmError(f"{command[0]}: {said}")
    return done.stdout


def sinfo(columns: str, partition: str | None = None, *options: str) -> list[str]:
    """Lines of sinfo, each once, about the partitions named; without a name about all.

    Args:
        columns: in sinfo's notation, such as %P|%l.
    """
    where = [f"--partition={partition}"] if partition else []
    lines = ask("sinfo", "--noheader", *options, *where, f"--format={columns}").splitlines()
    return list(dict.fromkeys(line.strip() for line in lines))


def partition_minutes(partition: str | None) -> int | None:
    """The shortest time limit of the partitions named; None where there is none or no Slurm."""
    if not installed():
        return None
    limits = [minutes for _, minutes in partitions(partition) if minutes is not None]
    return min(limits, default=None)


def partitions(names: str | None = None) -> list[tuple[str, int | None]]:
    """Partitions and their time limits in minutes: those named, or the default one.

    Names that the cluster lacks are left out.
    """
    wanted = set(names.split(",")) if names else None
    found = {}
    for line in sinfo("%P|%l"):
        name, limit = line.split("|")
        default, name = name.endswith("*"), name.removesuffix("*")
        if name in wanted if wanted else default:
            found[name] = minutes_of(limit)
    return list(found.items())


def gpus_and_shards(partition: str | None) -> list[tuple[int, int]]:
    """The GPUs of each node of the partitions named, and the shards that they are cut into."""
    found = [node.split("|")[1] for node in sinfo("%N|%G", partition, "--Node")]
    return [(_count("gpu", gres), _count("shard", gres)) for gres in found]


def _count(kind: str, gres: str) -> int:
    """How many of a kind sinfo's column %G names: gpu:h200:4(S:0-1),shard:h200:16(S:0-1)."""
    return sum(int(number) for number in re.findall(rf"\b{kind}:(?:[^:,(]+:)?(\d+)", gres))


def runs_of_partition(
    partition: str | None, gpus: int, on_gpus: bool, most_jobs: int, runs_per_gpu: int = 1
) -> tuple[int, str]:
    """How many runs a partition holds at once, other users apart, and what limits them.

    Args:
        gpus: of one run.
        on_gpus: whether runs ask for GPUs; if not, jobs alone limit them.
        most_jobs: that may be in the queue.
    """
    jobs = f"{most_jobs} jobs in the queue at most"
    if not on_gpus or not installed():
        return most_jobs, jobs
    nodes = gpus_and_shards(partition)
    total = sum(number for number, _ in nodes)
    room, each = total // gpus, ""
    if runs_per_gpu > 1:
        shards = math.ceil(shards_of_gpu(nodes) / runs_per_gpu) or 1
        room = sum(number * (cut // number // shards) for number, cut in nodes if number)
        each = f", {runs_per_gpu} runs on each at most"
    where = f"{total} GPUs in partition {partition or '(default)'}{each}"
    return max(1, min(most_jobs, room)), f"{where}; {jobs}"


def shards_of_gpu(nodes: list[tuple[int, int]]) -> int:
    """Into how many shards a GPU of these nodes is cut: the most, where nodes differ.

    A share of those is on no node less than the same share of a GPU.
    """
    return max((shards // gpus for gpus, shards in nodes if gpus), default=0)


def minutes_of(limit: str) -> int | None:
    """Slurm's notation of a time, [days-][[hours:]minutes:]seconds, in minutes; None: no limit."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if not found:
        return None
    days, hours, minutes, _ = (int(part or 0) for part in found.groups())
    return 60 * (24 * days + hours) + minutes


def default_account() -> str | None:
    """The account that pays for the user's jobs by default; None without accounting.

    Snakemake's plugin asks for it in a way that fails, and warns of that.
    """
    user = getpass.getuser()
    command = "sacctmgr", "--noheader", "--parsable2", "show", "user", user
    if not shutil.which(command[0]):
        return None
    try:
        return ask(*command, "format=DefaultAccount").strip() or None
    except SlurmError:
        return None


def my_jobs() -> dict[str, str]:
    """The folders of the user's jobs that wait or run, by their numbers."""
    lines = ask("squeue", "--noheader", f"--user={getpass.getuser()}", "--format=%i|%Z")
    return dict(line.split("|", 1) for line in lines.splitlines())
