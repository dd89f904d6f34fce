"""Any study file and sheet give either runs that can start or a StudyError.

Every example changes a valid study in a few places, in its values or its text, and checks it like
the workflow: load_study, then check_models.
"""

import string

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posmlp.study import Augment, Data, Recipe, StudyError, check_models, load_study
from posmlp.study.study_file import StudyFile
from posmlp.study.yaml_files import dump_yaml

QUICK = settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
MODEL_KEYS = ["name", "gate", "groups", "softmax", "psd", "bias", "drop_rate", "drop_path_rate"]
KEYS = st.sampled_from(
    [*MODEL_KEYS, *(key for s in (StudyFile, Data, Recipe, Augment) for key in s.model_fields)]
)
HARD_NUMBERS = [0, -1, 1, 2, 3, 0.5, 1e-320, 1e308, 2**31, 2**64, -(2**63), 10**400]
WORDS = ["", "null", "off", "auto", "sgu", "gqpe", "imagenet", "~", "..", "/", "é"]
WORDS += ["\u2028", "\x85"]
SCALARS = (
    st.sampled_from(HARD_NUMBERS)
    | st.sampled_from(WORDS)
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
)
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS, v, max_size=3), max_leaves=6
)
PIECES = (
    st.sampled_from(["\t", "\n", "\r", ":", "- ", "{", "}", '"', "'", "#", "&a", "*a", "!!str "])
    | st.sampled_from(["\0", "\ufeff", "\U0001f980", "\u2028", "[" * 500, "9" * 5000, "? "])
    | st.text(string.printable, max_size=4)
)


def outcome(path):
    """Check a study like the workflow; the outcome must be runs or problems."""
    try:
        study = load_study(path)
        check_models(study)
    except StudyError as error:
        study, problems = None, error.problems
    if study:
        runs = study.runs()
        assert runs
        assert len({run.folder("results") for run in runs}) == len(runs)
        return
    assert problems
    for problem in problems:
        assert str(path) in problem or str(path.with_suffix(".tsv")) in problem, problem
        assert len(problem) > len(str(path)) + 5, problem


def sections(values):
    """All mappings in the values of a study, the outermost first."""
    found = [values]
    for value in values.values():
        if isinstance(value, dict):
            found += sections(value)
    return found


@QUICK
@given(data=st.data())
def test_any_settings_are_runs_or_problems(folder, data):
    spoilt = type(folder)(folder.folder)
    for _ in range(data.draw(st.integers(1, 3))):
        section = data.draw(st.sampled_from(sections(spoilt.values)))
        what = data.draw(st.sampled_from(["set", "add", "delete"]))
        key = data.draw(st.sampled_from(sorted(section)) if section and what != "add" else KEYS)
        if what == "delete":
            section.pop(key, None)
        else:
            section[key] = data.draw(VALUES)
    outcome(spoilt.write())


@QUICK
@given(data=st.data())
def test_any_text_is_runs_or_problems(folder, data):
    texts = [dump_yaml(folder.values), sheet_text(folder)]
    for _ in range(data.draw(st.integers(1, 4))):
        which = data.draw(st.integers(0, 1))
        text = texts[which]
        first = data.draw(st.integers(0, len(text)))
        last = data.draw(st.integers(first, min(first + 20, len(text))))
        texts[which] = text[:first] + data.draw(PIECES) + text[last:]
    outcome(write_bytes(folder, *texts))


def sheet_text(folder):
    return "".join("\t".join(row) + "\n" for row in folder.sheet)


def write_bytes(folder, study, sheet):
    """Write both texts unchanged; return the study file."""
    path = folder.folder / "study.yaml"
    path.write_bytes(study.encode("utf-8", "surrogatepass"))
    path.with_suffix(".tsv").write_bytes(sheet.encode("utf-8", "surrogatepass"))
    return path
