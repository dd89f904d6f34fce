"""YAML 1.2: accepted and refused text, and round trips."""

import pytest

from posmlp.study import StudyError
from posmlp.study.yaml_files import dump_yaml, parse_yaml, read_mapping, read_text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("2.0", 2.0),
        ("off", "off"),  # YAML 1.1 reads False
        ("010", 10),  # YAML 1.1 reads 8
        ("1:30", "1:30"),  # YAML 1.1 reads 90
        ("", None),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text, value):
    read = parse_yaml(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: 1\na: 2", "line 2, column 1: while constructing a mapping, found duplicate"),
        ("a: {b: 1, b: 1}", "line 1, column 11: while constructing a mapping, found dup"),
        ("1: a", "a key must be text, found 1"),
        ("a: &x [*x]", "nested too deeply"),
        ("a: !!set {b}", "read as a set; put text in quotes"),
        ("a: !x 1", "could not determine a constructor"),
        ("a: 2022-07-14", "2022-07-14 is read as a date; put text in quotes"),
        ("a: b: c", "line 1, column 5"),
        ("a\n---\nb", "single document"),
        ('"\\ud800"', "surrogates"),
        ("9" * 5000, "integer"),
        ("\x00", "not allowed"),
        ("[" * 500, "nested too deeply"),
    ],
)
def test_refused_text_is_a_value_error_that_says_why(text, reason):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the text is checked below)
        parse_yaml(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"# only a comment\n", "should contain `key: value` lines, found None"),
        (b"- a\n", "found ['a']"),
        (b"a: \xff\n", "not a readable UTF-8 text file"),
        (b"a: {\n", "study.yaml, line 2, column 1"),
    ],
)
def test_a_file_without_a_mapping_is_named(tmp_path, content, reason):
    path = tmp_path / "study.yaml"
    path.write_bytes(content)
    with pytest.raises(StudyError) as caught:
        read_mapping(path)
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)


def test_missing_file_names_its_neighbours(tmp_path):
    (tmp_path / "fashion.yaml").touch()
    with pytest.raises(StudyError, match=r"no such file; .* has fashion\.yaml"):
        read_text(tmp_path / "fashio.yaml")


def test_byte_order_mark_is_dropped(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_text(tmp_path / "a.yaml") == "a: 1\n"


def test_round_trip():
    words = ["off", "1e-3", "010", "null", "~", "1:30", "<<", "=", "0x1", ".inf", "é", " a: b", ""]
    values = {"a": words, "b": None, "c": True, "d": -(2**53), "e": 1e-300, "f": 2.0, "g": {"h": 1}}
    read = parse_yaml(dump_yaml(values))
    assert read == values
    assert [type(value) for value in read.values()] == [type(v) for v in values.values()]
