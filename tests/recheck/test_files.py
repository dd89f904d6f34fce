"""Two files: whether they are the same, and if not, where."""

import pytest

from posmlp.recheck.files import compare_folders, difference


@pytest.fixture
def pair(tmp_path):
    """Return a function that writes two files of a name, in `old` and `new`, and their paths."""

    def write(name, old, new):
        paths = [tmp_path / side / name for side in ("old", "new")]
        for path, content in zip(paths, (old, new), strict=True):
            path.parent.mkdir(exist_ok=True)
            if content is not None:
                path.write_bytes(content)
        return paths

    return write


def test_equal_bytes_are_no_difference(pair):
    assert difference(*pair("a.md", b"x\n", b"x\n")) == ""


def test_of_texts_the_first_line_that_differs_is_shown(pair):
    said = difference(*pair("a.csv", b"a,b\n1,2\n3,4\n", b"a,b\n1,9\n3,5\n"))
    assert said == "line 2: committed '1,2', now '1,9'"
    assert difference(*pair("b.md", b"x", b"x\ny")) == "line 2: committed nothing, now 'y'"
    assert difference(*pair("c.md", b"x", b"x\n")) == "line 2: committed nothing, now ''"
    assert difference(*pair("d.md", b"\xff", b"\xfe")) == "bytes that are no text differ"


def test_of_a_long_line_the_place_where_it_differs_is_shown(pair):
    old, new = b"a" * 500 + b"1" + b"b" * 500, b"a" * 500 + b"2" + b"b" * 500
    said = difference(*pair("a.svg", old, new))
    assert f"'...{'a' * 20}1{'b' * 39}...', now '...{'a' * 20}2" in said


def test_of_other_files_it_is_said_with_which(pair):
    old, new = pair("a.png", b"x", b"y")
    assert difference(old, new) == f"bytes differ from {new}"


def test_a_file_that_only_one_of_the_folders_has_is_a_difference(pair, tmp_path):
    old, _ = pair("made.md", None, b"x")
    left, _ = pair("left.md", b"x", None)
    folders = tmp_path / "old", tmp_path / "new"
    found = {f.path: f.fault for f in compare_folders("s", "texts", "*", *folders)}
    assert found == {old: "is not there, and can be made", left: "nothing makes it"}
