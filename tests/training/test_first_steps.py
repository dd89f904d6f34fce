"""The first training losses match a golden file: what changes them changes every result.

`python tests/training/test_first_steps.py > tests/golden/first_steps.json` renews the file.
"""

import json
from pathlib import Path

import pytest
import torch

from posmlp.study import RunConfig
from posmlp.training.distributed import World
from posmlp.training.engine import make_loss, take_step
from posmlp.training.trainer import make_trainer

GOLDEN = Path(__file__).parents[1] / "golden" / "first_steps.json"
NUM_STEPS = 5
REL = 1e-4  # CPUs round differently
MODELS = {
    "sgu": dict(name="gmlp_posgu_xs1_8", gate="sgu"),
    "lrpe": dict(name="gmlp_posgu_xs1_8", gate="lrpe", groups=4),
    "qpe": dict(name="gmlp_posgu_xs1_8", gate="qpe", groups=4),
    "gqpe": dict(name="gmlp_posgu_xs1_8", gate="gqpe", groups=4),
    "gqpe with everything": dict(
        name="gmlp_posgu_xs1_8", gate="gqpe", groups=4, drop_rate=0.1, drop_path_rate=0.1
    ),
}
PLAIN = dict(
    epochs=2,
    batch_size=64,
    lr=1e-2,
    weight_decay=0.05,
    clip_grad=1.0,
    deterministic=True,
)
EVERYTHING = dict(
    opt="lamb",
    grad_accum=2,
    mixup=0.8,
    cutmix=1.0,
    label_smoothing=0.1,
    augment=dict(shift=1, hflip=0.5, reprob=0.25),
)


def make_config(name: str) -> RunConfig:
    """A run on the digits; "with everything" also uses every random augmentation and dropout."""
    return RunConfig.model_validate(
        dict(
            study="first_steps",
            variant="variant",
            seed=0,
            data=dict(name="digits"),
            model=MODELS[name],
            recipe=PLAIN | (EVERYTHING if "everything" in name else {}),
        )
    )


def first_losses(name: str) -> list[float]:
    """Training losses of the first steps."""
    trainer = make_trainer(make_config(name), Path("unused"), World(torch.device("cpu")))
    trainer.model.train()
    loss_fn = make_loss(trainer.config.recipe, trainer.mixup)
    batches = iter(trainer.train.epoch(0, 0))
    losses = []
    for _ in range(NUM_STEPS):
        take_step(trainer, batches, loss_fn)
        trainer.step += 1
        losses.append(float(trainer.loss_sum))
        trainer.loss_sum.zero_()
    return losses


@pytest.fixture(autouse=True)
def _as_before():
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", MODELS)
def test_the_first_losses_match_the_golden_file(name):
    golden, found = json.loads(GOLDEN.read_text()), first_losses(name)
    assert found == pytest.approx(golden[name], rel=REL), (
        f"{name}: the first losses have changed, so the results of every study will. Either a "
        "change of the network, the data or the training was meant to do so (say it in the "
        "changelog, and renew the file: python tests/training/test_first_steps.py > "
        f"tests/golden/{GOLDEN.name}), or it is a defect, or a new version of torch or timm draws "
        "or computes differently"
    )


if __name__ == "__main__":
    print(json.dumps({name: first_losses(name) for name in MODELS}, indent=2))
