"""Studies: a YAML file and a sheet of variants, checked before any job and resolved into runs.

Imports neither torch nor timm until `check_models` is called, so that Snakemake starts quickly.
"""

from posmlp.study.data_settings import Data
from posmlp.study.model_check import check_models
from posmlp.study.recipe_settings import Augment, Recipe
from posmlp.study.run_config import RunConfig
from posmlp.study.studies import Study, load_study
from posmlp.study.study_error import StudyError
from posmlp.study.study_file import Question, terms
from posmlp.study.variant_sheet import Variant

__all__ = [
    "Augment",
    "Data",
    "Question",
    "Recipe",
    "RunConfig",
    "Study",
    "StudyError",
    "Variant",
    "check_models",
    "load_study",
    "terms",
]
