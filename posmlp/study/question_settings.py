"""The questions of a study file: contrasts of variants, written down before the runs."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from posmlp.study.section import Section, Text

CONTRAST_RULE = (
    "variants with + or - between them, each in spaces, as many added as subtracted: gqpe - sgu, "
    "or gqpe_few - sgu_few - gqpe + sgu"
)


def terms(contrast: str) -> list[tuple[int, str]]:
    """Split a contrast into signs and names: [(1, "gqpe"), (-1, "sgu")].

    Raises:
        ValueError: not a contrast.
    """
    words = contrast.split()
    if not re.fullmatch(r"\S+( [+-] \S+)+", contrast):
        raise ValueError(f"{contrast!r} is not a valid contrast; allowed: {CONTRAST_RULE}")
    signs = [1, *(1 if sign == "+" else -1 for sign in words[1::2])]
    if sum(signs):
        raise ValueError(
            f"{contrast!r} does not add as many as it subtracts; allowed: {CONTRAST_RULE}"
        )
    return list(zip(signs, words[::2], strict=True))


def _is_contrast(contrast: str) -> str:
    terms(contrast)
    return contrast


class Question(Section):
    """A question, what it claims, and the contrasts that answer it."""

    ask: Text = Field(description="the question")
    claim: Literal["superior", "non-inferior"] = Field(
        "superior",
        description="the verdict that the question is about; non-inferior: not worse by the "
        "study's margin or more",
    )
    contrasts: Annotated[
        list[Annotated[str, AfterValidator(_is_contrast)]], Field(min_length=1)
    ] = Field(description=f"differences of mean test_top1 between variants: {CONTRAST_RULE}")
