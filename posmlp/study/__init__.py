"""Studies: what is trained, from a YAML file and a sheet of variants, checked before any job.

Needs neither torch nor timm (`check_models` imports them when called): Snakemake parses with it.
"""

from posmlp.study.data_settings import Data
from posmlp.study.errors import StudyError
from posmlp.study.load import Study, Variant, load_study
from posmlp.study.model_check import check_models
from posmlp.study.questions import Question, terms
from posmlp.study.recipe_settings import Augment, Recipe
from posmlp.study.run_config import RunConfig

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
