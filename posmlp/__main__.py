"""`python -m posmlp train ...` repeats one run of a study, `show` prints a study's main table,
`prepare` checks its data, `calibrate` measures its speed, `docs` renews README and docs,
`check-results` makes committed results again.
"""

import argparse
import shlex
import sys
import time
from pathlib import Path

from posmlp.process import large_imports, leave
from posmlp.study import load_study

DIFFERENT = 1  # check-results: not all is as it is committed
FAILED = 2  # the message says why; the same command fails again
RUN_AGAIN = 75  # stopped by a signal (EX_TEMPFAIL of sysexits.h); the same command goes on


def train(arguments: argparse.Namespace) -> None:
    """Train one run, mirrored to MLflow where a store is given."""
    study = load_study(arguments.study)
    config = study.run(arguments.variant, arguments.seed)
    with large_imports():
        import torch

        from posmlp.runs.execute import execute
        from posmlp.runs.system import SystemLog
        from posmlp.runs.watch import TIME_LIMIT, Watch
        from posmlp.slurm.requeue import requeue
        from posmlp.tracking import Tracker, read_store
        from posmlp.training.distributed import join_world, leave_world
        from posmlp.training.engine import Interrupted

    torch.set_num_threads(arguments.threads)
    command = shlex.join(["python", "-m", "posmlp", *sys.argv[1:]])
    with Watch(arguments.checkpoint_minutes) as watch:
        world = join_world(arguments.device)
        store = read_store(arguments.store) if arguments.store and world.first else None
        folder = config.folder(arguments.results)
        observers = [Tracker(folder, store)]
        if world.first:
            observers.append(SystemLog(folder, arguments.system_metrics))
        try:
            metrics = execute(
                config, arguments.results, arguments.data_root, world, command, watch, observers
            )
        except Interrupted:
            if world.first and watch.signal == TIME_LIMIT:
                requeue()
            raise
        leave_world(world)
    if not world.first:
        return
    done = sum((run.folder(arguments.results) / "metrics.json").exists() for run in study.runs())
    print(
        f"{config.name}: top-1 {metrics['top1']:.2f} % in "
        f"{metrics['wall_s']:.0f} s; {done} of {len(study.runs())} runs done",
        file=sys.stderr,
    )


def prepare(arguments: argparse.Namespace) -> None:
    """Check a study's data, and make its experiment in MLflow where runs write to it."""
    from posmlp.preparation import prepare_data, prepare_store

    study = load_study(arguments.study)
    here = arguments.results / study.name
    prepare_data(study, str(arguments.data_root), here / "prepared.json")
    if arguments.live:
        prepare_store(study, arguments.results, here / "store.json")


def calibrate(arguments: argparse.Namespace) -> None:
    """Measure for some seconds how fast each variant trains here, for the plan of a study."""
    import psutil

    study = load_study(arguments.study)
    with large_imports():
        import torch

        from posmlp.plan.calibrate import calibrate, write_calibrations
        from posmlp.training.distributed import join_world, leave_world

    torch.set_num_threads(arguments.threads)
    process_s = time.time() - psutil.Process().create_time()
    world = join_world(arguments.device)
    rows = []
    for config in study.configs.values():
        rows.append(calibrate(config, arguments.data_root, world, process_s))
        if world.first:
            speed = config.recipe.batch_size / rows[-1].step_s
            print(f"{config.variant}: {speed:,.0f} images/s on {rows[-1].device}", flush=True)
    if world.first:
        write_calibrations(arguments.file, rows)
    leave_world(world)


def show(arguments: argparse.Namespace) -> None:
    """Print the main table, whether the results are checked, and where the rest is."""
    from posmlp.analysis.documents import printed

    print(printed(load_study(arguments.study), arguments.results, so_far=arguments.so_far))


def docs(arguments: argparse.Namespace) -> None:
    """Renew what README and docs say of results, in the folder that the command runs in."""
    from posmlp.analysis.documents import documents, renew

    for path in documents(Path()):
        old = path.read_text(encoding="utf-8")
        try:
            new = renew(old, arguments.results, Path("config/studies"))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        if new != old:
            path.write_text(new, encoding="utf-8")
        print(f"{path}: {'as it was' if new == old else 'renewed'}")


def check_results(arguments: argparse.Namespace) -> int:
    """Make committed results again and compare; DIFFERENT where they are not the same."""
    from posmlp.recheck.check import check_results

    places = arguments.results, arguments.data_root
    found = check_results(arguments.studies, *places, arguments.sample, arguments.seed)
    return DIFFERENT if found else 0


def positive(text: str) -> float:
    """Read a number above 0."""
    if not float(text) > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return float(text)


def count(text: str) -> int:
    """Read a whole number that is not below 0."""
    if not int(text) >= 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return int(text)


def option_groups() -> list[argparse.ArgumentParser]:
    """Options of several commands: of which study and data, on which device, in which results."""
    study, data, device, results = (argparse.ArgumentParser(add_help=False) for _ in range(4))
    study.add_argument("--study", required=True, help="a name, or the path of a study file")
    data.add_argument("--data-root", type=Path, default=Path("data"))
    device.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    device.add_argument("--threads", type=int, default=1, help="CPU threads")
    results.add_argument("--results", type=Path, default=Path("results"))
    return [study, data, device, results]


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status: 0, DIFFERENT, FAILED or RUN_AGAIN."""
    parser = argparse.ArgumentParser(prog="python -m posmlp", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    study, data, device, results = option_groups()
    command = commands.add_parser(
        "train", help="train one run of a study", parents=[study, data, device, results]
    )
    command.set_defaults(function=train)
    command.add_argument("--variant", required=True)
    command.add_argument("--seed", required=True, type=int)
    command.add_argument(
        "--checkpoint-minutes",
        type=positive,
        default=10.0,
        metavar="MINUTES",
        help="between checkpoints within an epoch (10); one is written after every epoch too",
    )
    command.add_argument(
        "--system-metrics",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="between notes of CPU, memory and GPU use in system.csv (0: none)",
    )
    command.add_argument("--store", type=Path, help="store.json of the study's MLflow")
    command = commands.add_parser(
        "prepare", help="check the data before the first run", parents=[study, data, results]
    )
    command.set_defaults(function=prepare)
    command.add_argument("--live", action="store_true", help="make the MLflow experiment too")
    command = commands.add_parser(
        "calibrate", help="measure how fast a study's variants train", parents=[study, data, device]
    )
    command.set_defaults(function=calibrate)
    command.add_argument("--file", required=True, type=Path, help="calibration.csv to add to")
    command = commands.add_parser("show", help="print the main table of a study", parents=[results])
    command.set_defaults(function=show)
    command.add_argument("study", help="a name, or the path of a study file")
    command.add_argument(
        "--so-far", action="store_true", help="of the runs that have finished until now"
    )
    command = commands.add_parser(
        "docs", help="renew what README and docs say of results", parents=[results]
    )
    command.set_defaults(function=docs)
    command = commands.add_parser(
        "check-results",
        help="make committed tables and figures again, and train a sample of runs",
        parents=[data, results],
    )
    command.set_defaults(function=check_results)
    command.add_argument(
        "studies",
        nargs="*",
        metavar="STUDY",
        help="names, or paths of study files (every study that has a runs.csv)",
    )
    command.add_argument(
        "--sample",
        type=count,
        default=2,
        metavar="RUNS",
        help="of each study that are trained again (2)",
    )
    command.add_argument("--seed", type=int, default=0, help="draws them (0)")
    options = parser.parse_args(arguments)
    try:
        return options.function(options) or 0
    except ValueError as error:  # all errors that a user can mend
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return RUN_AGAIN


if __name__ == "__main__":
    leave(main())
