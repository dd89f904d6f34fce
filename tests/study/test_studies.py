"""load_study: how files become runs, and a StudyError with file and key for every mistake."""

import pytest

from posmlp.study import load_study


def test_runs_are_variants_in_order_with_every_seed(folder):
    study = folder.load()
    assert [(run.variant, run.seed) for run in study.runs()] == [
        ("sgu", 0),
        ("sgu", 1),
        ("gqpe_s4", 0),
        ("gqpe_s4", 1),
        ("gqpe_fast", 0),
        ("gqpe_fast", 1),
    ]
    assert (study.name, study.title, study.reference) == ("study", "Title", "sgu")
    assert study.files == (folder.folder / "study.yaml", folder.folder / "study.tsv")


@pytest.mark.parametrize("step", [1, -1])
def test_a_row_changes_its_own_cells_and_nothing_else(folder, step):
    folder.sheet[1:] = folder.sheet[1:][::step]
    study = folder.load()
    sgu, grouped, fast = (study.run(variant.name, 1) for variant in study.variants[::step])
    assert sgu.model == {"name": "gmlp_posgu_xs1_8", "gate": "sgu"}
    assert grouped.model == {"name": "gmlp_posgu_xs1_8", "gate": "gqpe", "groups": 4}
    assert (sgu.recipe, sgu.data) == (grouped.recipe, grouped.data)
    assert (grouped.recipe.lr, fast.recipe.lr) == (1e-3, 2e-3)
    assert fast.recipe.model_copy(update={"lr": 1e-3}) == grouped.recipe


def test_a_path_names_a_study_too(folder):
    path = folder.write()
    assert load_study(path) == load_study("study", folder.folder)


def test_null_in_a_cell_is_the_default_of_the_model(folder):
    folder.values["model"]["groups"] = 2
    folder.sheet[1][3] = "null"
    study = folder.load()
    assert "groups" not in study.run("sgu", 0).model
    assert study.run("gqpe_s4", 0).model["groups"] == 4


def ask(*contrasts):
    return [{"ask": "Does it?", "contrasts": list(contrasts)}]


DELETE = object()
MISTAKES = [
    ("title", DELETE, "title: missing; add it (one line, for tables and figures)"),
    ("titel", "x", 'titel: unknown key; did you mean "title"?'),
    ("data", 5, "data: should be a mapping"),
    ("data.name", "digit", "data.name: should be 'digits', "),
    ("data.placement", "random", "data.placement: random needs an image_size above 8"),
    ("model", {}, "model.name: should be the name of a model registered with timm, such as"),
    ("model.name", "hf-hub:a/b", "model.name: should be the name of a model registered with timm"),
    ("model.num_classes", 10, "model.num_classes: not a setting of a study's model"),
    ("model.softmax", "off", "model.softmax: found the word 'off'; write true or false"),
    ("model.drop_rate", float("inf"), "model.drop_rate: should be a finite number"),
    ("model.groups", [[1]], "or a list of these, found [1]"),
    ("recipe.lr", float("nan"), "recipe.lr: should be a finite number"),
    ("recipe.lr_", 1, 'recipe.lr_: unknown key; did you mean "lr"? allowed here: amp, augment,'),
    ("recipe.warmup_epochs", 3, "recipe.warmup_epochs: must be smaller than epochs, 3"),
    ("recipe.min_lr", 0.1, "recipe.min_lr: 0.1 must not exceed lr, 0.001"),
    ("recipe.batch_size", 2000, "recipe.batch_size: 2000 exceeds the 1297 training images"),
    ("recipe.augment.scale", [0.5, 1], "recipe.augment.scale: has no effect on digits"),
    ("recipe.augment.scale", [1, 0.5], "recipe.augment.scale: the first number must not exceed"),
    ("seeds", [], "seeds: should not be empty, found []"),
    ("seeds", [0, 1, 0], "seeds: a seed is duplicated; delete one, found [0, 1, 0]"),
    ("nodes", 2, "gpus: 1 GPUs cannot be spread evenly over 2 nodes"),
    ("reference", "sgv", "reference: no variant 'sgv' in the sheet; did you mean \"sgu\"?"),
    ("questions", ask("sgu - gqpe_4"), "no variant 'gqpe_4' in the sheet; did you mean"),
    ("questions", ask("sgu-gqpe_s4"), "is not a valid contrast"),
    ("questions", ask("sgu + gqpe_s4"), "questions.0.contrasts.0: 'sgu + gqpe_s4' is not a valid"),
    ("variants", "other.tsv", "variants: unknown key"),
    ("base", 5, "base: should be the name of a .yaml file in the same folder"),
    ("base", "study.yaml", "in a circle: study.yaml -> study.yaml"),
]


def change(values: dict, key: str, value: object) -> None:
    *sections, name = key.split(".")
    for section in sections:
        values = values[section]
    if value is DELETE:
        del values[name]
    else:
        values[name] = value


@pytest.mark.parametrize(("key", "value", "expected"), MISTAKES)
def test_a_mistake_in_the_study_file_names_file_and_key(folder, key, value, expected):
    change(folder.values, key, value)
    folder.write()
    problem = folder.problem()
    assert problem.startswith(str(folder.folder))
    assert expected in problem


@pytest.mark.parametrize(
    ("column", "cell", "expected"),
    [
        ("recipe.lr", "high", "column recipe.lr: should be a valid number, found 'high'"),
        ("recipe.lrr", "1", 'column recipe.lrr: unknown key; did you mean "lr"?'),
        ("data.train_fraction", "0.01", "gqpe_s4: recipe.batch_size: 64 exceeds the 12 training"),
        ("recipe.epochs", "1", "gqpe_s4: recipe.warmup_epochs: must be smaller than epochs, 1"),
        ("model.img_size", "16", "column model.img_size: not a setting of a study's model"),
    ],
)
def test_a_mistake_in_a_cell_names_row_and_column(folder, column, cell, expected):
    folder.values["recipe"]["warmup_epochs"] = 1
    folder.sheet = [["variant", "claim", column], ["sgu", "a", ""], ["gqpe_s4", "b", cell]]
    folder.write()
    assert folder.problem().startswith(f"{folder.folder / 'study.tsv'}, row 3, {expected}")


def test_problems_of_file_and_sheet_come_together(folder):
    folder.values["recipe"] |= {"lr": -1, "epoch": 3}
    folder.sheet[1][1] = ""
    folder.sheet[2].append("too many")
    folder.write()
    of_sheet = [str(folder.folder / "study.tsv") in problem for problem in folder.problems()]
    assert of_sheet == [False, False, True, True]


def test_gpus_must_divide_the_batch(folder):
    folder.values["gpus"] = 3
    folder.write()
    assert "gpus: 3 GPUs cannot share a batch of 64 images evenly" in folder.problems()[0]


def test_two_names_for_the_same_settings(folder):
    folder.sheet.append(["again", "a larger step", "gqpe", "4.0", "0.002"])
    folder.write()
    assert "row 5: again has the same settings as gqpe_fast in row 4" in folder.problem()


def test_a_base_gives_what_the_file_leaves_out(folder):
    folder.write("small")
    folder.values = {"base": "small.yaml", "recipe": {"epochs": 9, "augment": {"hflip": 0.5}}}
    study = folder.load("large")
    recipe = study.run("sgu", 0).recipe
    assert (recipe.epochs, recipe.batch_size) == (9, 64)
    assert (recipe.augment.hflip, recipe.augment.shift) == (0.5, 1)
    assert [file.name for file in study.files] == ["large.yaml", "small.yaml", "large.tsv"]


def test_a_mistake_in_the_base_names_the_base(folder):
    folder.values["recipe"]["lr"] = -1
    folder.write("small")
    folder.values = {"base": "small.yaml", "recipe": {"epochs": 9}}
    folder.write("large")
    assert folder.problem("large").startswith(f"{folder.folder / 'small.yaml'}: recipe.lr:")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("studdy", "no such file; "),
        ("a b", "a study cannot be called 'a b'"),
        ("", "a study cannot be called '.yaml'"),
        ("study\0", "a study cannot be called"),
        ("Figures", "a study cannot be called 'Figures'"),
    ],
)
def test_an_invalid_or_missing_study_name(folder, name, expected):
    folder.write()
    assert expected in folder.problem(name)


def test_a_question_claims_one_verdict(folder):
    folder.values |= {"margin": 0.5, "questions": ask("gqpe_s4 - sgu")}
    assert [q.claim for q in folder.load().questions] == ["superior"]
    folder.values["questions"][0]["claim"] = "non-inferior"
    assert [q.claim for q in folder.load().questions] == ["non-inferior"]
    del folder.values["margin"]
    folder.write()
    assert "questions.0.claim: non-inferior needs a margin; add `margin: " in folder.problem()


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        (("", "", "gqpe_s3"), "row 4, column against: no variant 'gqpe_s3' in the sheet; did you"),
        (("", "", "gqpe_fast"), "row 4, column against: gqpe_fast cannot be compared with"),
        (("gqpe_s4", "", ""), "row 2, column against: sgu cannot be compared with gqpe_s4; "),
    ],
)
def test_a_mistake_in_column_against(folder, cells, problem):
    cells = ("against", *cells)
    folder.sheet = [[*row, cell] for row, cell in zip(folder.sheet, cells, strict=True)]
    folder.write()
    assert problem in folder.problem()
