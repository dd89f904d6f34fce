"""What tracking costs a training: runs in turns, with it off, on, and with a server in trouble.

    python benchmarks/tracking.py                 # 6 rounds of 4 runs, about 8 minutes
    python benchmarks/tracking.py --rounds 20 --epochs 40

Each round trains the same run once in every way, in an order drawn anew, each in a process of its
own, so that whatever else the machine does meets all ways alike. Seconds are those of the whole
training, of its epochs, and of the CPU that its process used, which says more where the machine
does other work too. Printed are medians, and of each way the median of its quotients
with `off` of the same round. The goal is 1 %. The follower starts at once here and not after a
minute, which is the worst case.
"""

import argparse
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from posmlp.tracking import Store, init_store

TRAIN = """
import json, sys, time
from pathlib import Path
import torch
from posmlp.runs.execute import execute
from posmlp.runs.watch import Watch
from posmlp.study import RunConfig
from posmlp.tracking import Store, Tracker
from posmlp.training.distributed import World
values, results, store = json.loads(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
torch.set_num_threads(1)
config = RunConfig.model_validate(values)
tracker = Tracker(config.folder(results), Store(**store) if store else None, delay_s=0)
began, used = time.perf_counter(), time.process_time()
metrics = execute(
    config, results, results, World(torch.device("cpu")), "benchmark", Watch(10), [tracker]
)
seconds = {"process": time.perf_counter() - began, "epochs": metrics["wall_s"]}
print(json.dumps(seconds | {"cpu": time.process_time() - used}))
"""


def make_values(epochs: int) -> dict:
    recipe = {"epochs": epochs, "batch_size": 32, "lr": 1e-2, "weight_decay": 0.05}
    return {
        **{"study": "benchmark", "variant": "gqpe", "seed": 0, "data": {"name": "digits"}},
        "model": {"name": "gmlp_posgu_xs1_8", "gate": "gqpe", "groups": 4},
        "recipe": recipe,
    }


def train(epochs: int, store: Store | None) -> dict[str, float]:
    """Train once in a new folder; seconds of the training and of its epochs."""
    settings = store and {"uri": store.uri, "experiment_id": store.experiment_id}
    with tempfile.TemporaryDirectory() as results:
        arguments = [json.dumps(make_values(epochs)), results, json.dumps(settings)]
        done = subprocess.run(
            [sys.executable, "-c", TRAIN, *arguments],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        )
        seconds = json.loads(done.stdout.splitlines()[-1])
        time.sleep(5)  # so that a follower that ends late does not meet the next way
        return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=25)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, socket.socket() as deaf, socket.socket() as free:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(128)
        free.bind(("127.0.0.1", 0))  # bound and not listening: it refuses
        ways = {
            "off": None,
            "on, SQLite": init_store("benchmark", results=Path(folder)),
            "server absent": Store(f"http://127.0.0.1:{free.getsockname()[1]}", "1"),
            "server silent": Store(f"http://127.0.0.1:{deaf.getsockname()[1]}", "1"),
        }
        found = {name: [] for name in ways}
        for number in range(options.rounds):
            for name in random.Random(number).sample(list(ways), len(ways)):
                found[name].append(train(options.epochs, ways[name]))
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    for part in ("process", "epochs", "cpu"):
        off = [seconds[part] for seconds in found["off"]]
        for name, of_way in found.items():
            seconds = [s[part] for s in of_way]
            quotients = [a / b for a, b in zip(seconds, off, strict=True)]
            print(
                f"{part:8} {name:14} median {statistics.median(seconds):7.2f} s   "
                f"to off {100 * (statistics.median(quotients) - 1):+6.2f} %   "
                f"({min(quotients) - 1:+.1%} to {max(quotients) - 1:+.1%})"
            )


if __name__ == "__main__":
    main()
