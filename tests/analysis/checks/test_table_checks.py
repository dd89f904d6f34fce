from dataclasses import replace

import pytest

from posmlp.analysis.checks import Results, table


def spoil(results: Results, row: int | slice, column: str, value) -> Results:
    runs = results.runs.copy()
    runs.loc[row, column] = value
    return Results(results.study, runs, results.curves)


@pytest.mark.parametrize(
    ("version", "said"), [("abcd", "abcd: sgu seed 0"), ("", "no version: sgu seed 0")]
)
def test_two_code_versions_are_named_with_their_runs(results, problems, version, said):
    assert problems(table.one_code_version) == []
    found = problems(table.one_code_version, spoil(results, 0, "code_version", version))
    assert said in found
    assert any(
        line.startswith("12e4: sgu seed 1, sgu seed 2, gqpe_s4 seed 0, gqpe_s4 seed 1")
        and line.endswith(" and 3 more")
        for line in found
    )


def test_equal_data_settings_need_equal_images(results, problems, study):
    assert problems(table.equal_data) == []
    spoilt = spoil(results, slice(0, 2), "data_digest", "ffff")
    assert "digest ffff: sgu seed 0, sgu seed 1, sgu seed 2" in problems(table.equal_data, spoilt)
    other = study.configs["sgu"].data.model_copy(update={"train_fraction": 0.5})
    config = study.configs["sgu"].model_copy(update={"data": other})
    fraction = replace(study, configs=study.configs | {"sgu": config})
    assert problems(table.equal_data, Results(fraction, spoilt.runs, None)) == []
    assert "no digest: sgu seed 1" in problems(
        table.equal_data, spoil(results, 1, "data_digest", "")
    )


def test_a_run_must_do_better_than_guessing_unless_it_may_not(results, problems, study):
    check = table.better_than_guessing
    assert problems(check) == []
    lucky = spoil(results, 0, "test_top1", 13.9)  # ten classes, 500 images: 10 + 3 * 1.34
    assert problems(check, lucky) == [
        "sgu seed 0: top-1 13.90 %; guessing reaches 10 %, by luck 14.02 %"
    ]
    assert problems(check, spoil(results, 0, "test_top1", 14.1)) == []
    allowed = replace(study, may_not_learn=("sgu",))
    assert problems(check, Results(allowed, lucky.runs, None)) == []
    all_allowed = replace(study, may_not_learn=tuple(study.configs))
    assert problems(check, Results(all_allowed, lucky.runs, None)) == []
