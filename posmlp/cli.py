"""The command `posmlp`: one parser for all subcommands, each a function of its arguments.

A subcommand imports what it needs, so that `posmlp show` does not wait for torch.
"""

import argparse
import shlex
import sys
import time
from argparse import Namespace
from pathlib import Path

from posmlp import __version__
from posmlp.config import default_settings
from posmlp.study import load_study
from posmlp.user_errors import DIFFERENT, print_in_any_encoding, reporting_errors


def train(arguments: Namespace) -> None:
    study = load_study(arguments.study)
    config = study.run(arguments.variant, arguments.seed)
    import torch

    from posmlp.runs.execute import execute
    from posmlp.runs.interrupts import Interrupts
    from posmlp.training.distributed import join_world, leave_world

    torch.set_num_threads(arguments.threads)
    command = shlex.join(["posmlp", *sys.argv[1:]])
    with Interrupts(arguments.checkpoint_minutes) as interrupts:
        world = join_world(arguments.device)
        folders = arguments.results, arguments.data_root
        metrics = execute(config, *folders, world, command, interrupts)
        leave_world(world)
    if not world.is_rank0:
        return
    done = sum((run.folder(arguments.results) / "metrics.json").exists() for run in study.runs())
    print(
        f"{config.name}: top-1 {metrics['test_top1']:.2f} % in "
        f"{metrics['wall_s']:.0f} s; {done} of {len(study.runs())} runs done",
        file=sys.stderr,
    )


def prepare(arguments: Namespace) -> None:
    from posmlp.data.prepare import prepare_study

    study = load_study(arguments.study)
    record = arguments.results / study.name / "prepared.json"
    prepare_study(study, str(arguments.data_root), record)


def calibrate(arguments: Namespace) -> None:
    study = load_study(arguments.study)
    import psutil
    import torch

    from posmlp.plan.calibrate import calibrate
    from posmlp.plan.calibration import write_calibrations
    from posmlp.training.distributed import join_world, leave_world

    file = arguments.file or arguments.results / study.name / "calibration.csv"
    file.parent.mkdir(parents=True, exist_ok=True)  # an error now, not after the measurements
    torch.set_num_threads(arguments.threads)
    process_s = time.time() - psutil.Process().create_time()
    world = join_world(arguments.device)
    rows = []
    for config in study.configs.values():
        rows.append(calibrate(config, arguments.data_root, world, process_s))
        if world.is_rank0:
            speed = config.recipe.batch_size / rows[-1].step_s
            print(f"{config.variant}: {speed:,.0f} images/s on {rows[-1].device}", flush=True)
    if world.is_rank0:
        write_calibrations(file, rows)
    leave_world(world)


def plan(arguments: Namespace) -> None:
    from posmlp.plan.capacity import capacity_of
    from posmlp.plan.report import plan_text

    study = load_study(arguments.study)
    capacity = capacity_of(default_settings(cluster=arguments.cluster), study)
    print(plan_text(study, arguments.results, capacity))


def show(arguments: Namespace) -> None:
    from posmlp.analysis.documents import printed

    print(printed(load_study(arguments.study), arguments.results, so_far=arguments.so_far))


def audit(arguments: Namespace) -> None:
    from posmlp.analysis.audit import audit, summary, write_audit
    from posmlp.published import RESOURCES

    lines, folder = audit(arguments.results, RESOURCES), arguments.results / "audit"
    write_audit(lines, folder)
    print(f"{summary(lines)}\nTables: {folder}/audit.md   Page: {folder}/audit.html")


def docs(arguments: Namespace) -> None:
    from posmlp.analysis.documents import documents, renew
    from posmlp.config_readme import config_readme

    texts = {Path("config/README.md"): config_readme()}
    for path in documents(Path()):
        try:
            texts[path] = renew(path.read_text("utf-8"), arguments.results, Path("config/studies"))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    for path, text in texts.items():
        unchanged = path.read_text("utf-8") == text
        if not unchanged:
            path.write_text(text, "utf-8")
        print(f"{path}: {'unchanged' if unchanged else 'updated'}")


def check_results(arguments: Namespace) -> int:
    from posmlp.recheck import check_results

    folders = arguments.results, arguments.data_root
    found = check_results(arguments.studies, *folders, arguments.sample, arguments.seed)
    return DIFFERENT if found else 0


def sync(arguments: Namespace) -> None:
    from posmlp.tracking.sync import sync_results

    sync_results(arguments.results, arguments.studies, every_s=arguments.every)


def rebuild(arguments: Namespace) -> None:
    from posmlp.tracking.sync import rebuild

    rebuild(arguments.results)


def ui(arguments: Namespace) -> None:
    from posmlp.tracking.ui import serve

    serve(arguments.results, arguments.port, arguments.host)


def released_verify(arguments: Namespace) -> int:
    from posmlp.released import verify

    return 0 if verify(arguments.files, arguments.tolerance) else DIFFERENT


def released_evaluate(arguments: Namespace) -> None:
    from posmlp.released.evaluate import evaluate_checkpoint
    from posmlp.training.distributed import join_world

    world, limit = join_world(arguments.device), arguments.max_unreadable
    print(evaluate_checkpoint(arguments.file, arguments.data, arguments.weights, world, limit))


def released_export(arguments: Namespace) -> None:
    from posmlp.released.weights import export_run

    content = export_run(arguments.run, arguments.out)
    print(f"{arguments.out}: weights of epoch {content['epoch']}")


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand and return its exit status."""
    print_in_any_encoding()
    options = build_parser().parse_args(arguments)

    def command() -> int | None:
        fill_in(options)
        return options.function(options)

    return reporting_errors(command)


def fill_in(options: Namespace) -> None:
    """Take folders that are not named from config/config.yaml."""
    unnamed = [name for name in ("results", "data_root") if getattr(options, name, "") is None]
    settings = default_settings() if unnamed else None
    for name in unnamed:
        setattr(options, name, Path(getattr(settings, name)))


def positive(text: str) -> float:
    if not float(text) > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return float(text)


def count(text: str) -> int:
    if not int(text) >= 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return int(text)


def port(text: str) -> int:
    if not 0 < int(text) < 2**16:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 65535")
    return int(text)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="posmlp",
        description="Train, compare and track the gating units of PosMLP. `snakemake` runs a whole "
        "study; these commands do one thing each.",
        epilog="A STUDY is the name of a file in config/studies without .yaml, or a path. "
        "`posmlp COMMAND --help` lists the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"posmlp {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, function, summary: str, *options: argparse.ArgumentParser):
        description = f"{summary[0].upper()}{summary[1:]}."
        command = commands.add_parser(
            name, help=summary, description=description, parents=options, allow_abbrev=False
        )
        command.set_defaults(function=function)
        return command

    study, studies, data, device, results = shared_options()
    all_options = study, data, device, results
    command = add("plan", plan, "print what a study will cost: hours, disk", study, results)
    command.add_argument(
        "--cluster", action="store_true", help="on the cluster of slurm/site.yaml, not here"
    )
    command = add(
        "calibrate", calibrate, "measure for the plan how fast a study trains", *all_options
    )
    command.add_argument("--file", type=Path, help="to add to (RESULTS/STUDY/calibration.csv)")
    add("prepare", prepare, "check a study's data, downloading what can be", study, data, results)
    command = add("train", train, "train one run of a study", *all_options)
    command.add_argument("--variant", required=True, help="name in the study's sheet")
    command.add_argument("--seed", required=True, type=int, help="one of the study's seeds")
    command.add_argument(
        "--checkpoint-minutes",
        type=positive,
        default=10.0,
        metavar="MINUTES",
        help="between checkpoints within an epoch (10); every epoch ends with one too",
    )
    command = add("show", show, "print the main table of a study", study, results)
    command.add_argument("--so-far", action="store_true", help="of the runs finished until now")
    command = add(
        "check-results", check_results, "reproduce committed results", studies, data, results
    )
    command.add_argument(
        "--sample", type=count, default=2, metavar="RUNS", help="runs to retrain per study (2)"
    )
    command.add_argument("--seed", type=int, default=0, help="seed that draws the sample (0)")
    add("audit", audit, "compare every published number with ours", results)
    add("docs", docs, "update generated passages of README, docs and config", results)
    command = add("sync", sync, "bring MLflow up to date with the run folders", studies, results)
    command.add_argument("--every", type=positive, metavar="SECONDS", help="repeat until stopped")
    command = add("ui", ui, "open the MLflow UI on this machine", results)
    command.add_argument("--port", type=port, help="default: the first free one from 5000 on")
    command.add_argument(
        "--host", help="an address of this machine that others may use; no password is asked for"
    )
    add("rebuild", rebuild, "rebuild the MLflow store from the run folders alone", results)
    add_released(commands, device)
    return parser


def add_released(commands, device: argparse.ArgumentParser) -> None:
    summary = "work with files of the released code: verify, evaluate, export"
    released = commands.add_parser("released", help=summary, description=summary)
    actions = released.add_subparsers(metavar="ACTION", required=True)
    command = actions.add_parser("verify", help="compare golden cases with our computation")
    command.set_defaults(function=released_verify)
    command.add_argument("files", nargs="+", type=Path, metavar="FILE.npz")
    command.add_argument("--tolerance", type=float, default=1e-9, help="largest difference (1e-9)")
    command = actions.add_parser(
        "evaluate", help="test a released checkpoint on ImageNet", parents=[device]
    )
    command.set_defaults(function=released_evaluate)
    command.add_argument("file", type=Path, metavar="FILE.pth")
    command.add_argument("data", type=Path, metavar="DATA", help="folder with val/<class>/")
    command.add_argument("--weights", choices=("ema", "raw"), help="default: ema if present")
    command.add_argument(
        "--max-unreadable", type=count, default=0, metavar="N", help="files to leave out (0)"
    )
    command = actions.add_parser("export", help="write a run's weights in the released layout")
    command.set_defaults(function=released_export)
    command.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run")
    command.add_argument("out", type=Path, metavar="OUT.pth")


def shared_options() -> list[argparse.ArgumentParser]:
    """Options of several subcommands: study, studies, data, device, results."""
    options = [argparse.ArgumentParser(add_help=False) for _ in range(5)]
    study, studies, data, device, results = options
    study.add_argument("study", metavar="STUDY", help="name of a study, or path of its file")
    studies.add_argument(
        "studies", nargs="*", metavar="STUDY", help="names or paths; default: all with results"
    )
    data.add_argument(
        "--data-root", type=Path, metavar="DIR", help="folder of the data sets (config.yaml's)"
    )
    device.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(auto)")
    device.add_argument("--threads", type=count, default=1, help="CPU threads (1)")
    results.add_argument(
        "--results", type=Path, metavar="DIR", help="folder of results (config.yaml's)"
    )
    return options
