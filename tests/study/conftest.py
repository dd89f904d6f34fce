"""A small valid study in its own folder, for tests to change."""

import copy
from pathlib import Path

import pytest

from posmlp.study import Study, StudyError, load_study
from posmlp.study.yaml_files import dump_yaml

VALUES = {
    "title": "Title",
    "question": "Question?",
    "data": {"name": "digits"},
    "model": {"name": "gmlp_posgu_xs1_8", "gate": "sgu"},
    "recipe": {
        "epochs": 3,
        "batch_size": 64,
        "lr": 1.0e-3,
        "weight_decay": 0.05,
        "augment": {"shift": 1},
    },
    "seeds": [0, 1],
    "reference": "sgu",
}
SHEET = [
    ["variant", "claim", "model.gate", "model.groups", "recipe.lr"],
    ["sgu", "the reference", "", "", ""],
    ["gqpe_s4", "four groups", "gqpe", "4", ""],
    ["gqpe_fast", "a larger step", "gqpe", "4", "2e-3"],
]


class StudyFolder:
    """A folder with study.yaml and study.tsv, kept as values until they are written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.values = copy.deepcopy(VALUES)
        self.sheet = copy.deepcopy(SHEET)

    def write(self, name: str = "study") -> Path:
        """Write the study file and its sheet; return the path of the study file."""
        path = self.folder / f"{name}.yaml"
        path.write_text(dump_yaml(self.values))
        (self.folder / f"{name}.tsv").write_text("".join("\t".join(r) + "\n" for r in self.sheet))
        return path

    def load(self, name: str = "study") -> Study:
        self.write(name)
        return load_study(name, self.folder)

    def problems(self, name: str = "study") -> list[str]:
        """The problems of the study `name` in the folder."""
        with pytest.raises(StudyError) as caught:
            load_study(name, self.folder)
        return list(caught.value.problems)

    def problem(self, name: str = "study") -> str:
        """The only problem of the study `name`."""
        (problem,) = self.problems(name)
        return problem


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return StudyFolder(tmp_path)
