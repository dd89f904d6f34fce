"""FolderTree and ArchiveTree: the files of a data set in a folder, or in a zip or tar archive."""

import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from posmlp.data.images import DataError

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
# Network file systems answer requests in parallel; sequential ones would take many minutes.
NUM_THREADS = 16
DAMAGED = (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)

Read = Callable[[], bytes]


class FolderTree:
    """The files below a folder.

    Names are relative to `root` and use slashes; folder names end with one. Hidden files and
    folders are left out.
    """

    is_packed = False

    def __init__(self, root: Path) -> None:
        self.root = root

    def has(self, folder: str) -> bool:
        return (self.root / folder).is_dir()

    def names(self, folder: str) -> list[str]:
        """List everything below a folder, sorted by path components.

        Raises:
            DataError: a folder cannot be listed.
        """
        with ThreadPoolExecutor(NUM_THREADS) as threads:
            found, level = [], [f"{folder}/"]
            while level:
                listed = [name for names in threads.map(self._list, level) for name in names]
                level = [name for name in listed if name.endswith("/")]
                found += listed
        return sorted(found, key=lambda name: name.split("/"))

    def _list(self, folder: str) -> list[str]:
        try:
            with os.scandir(self.root / folder) as entries:
                return [
                    f"{folder}{entry.name}{'/' if entry.is_dir() else ''}"
                    for entry in entries
                    if not entry.name.startswith(".")
                ]
        except OSError as error:
            raise DataError(
                f"{self.root / folder}: cannot be listed ({error.strerror}); check data_root"
            ) from None

    def path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def size(self, name: str) -> int | None:
        """Size of a file in bytes; None if it is a broken link or cannot be read."""
        try:
            return os.stat(self.path(name)).st_size
        except OSError:
            return None

    def readers(self, names: Sequence[str]) -> Iterator[tuple[int, Read]]:
        """Yield each file's position in `names` and a function that reads it, fastest order first.

        The function may be called in another thread.
        """
        for position, name in enumerate(names):
            yield position, Path(self.path(name)).read_bytes


class ArchiveTree(FolderTree):
    """The files in an archive, below the folder that holds `train/`.

    Raises:
        DataError: the archive is damaged or holds no `train/`.
    """

    is_packed = True

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        try:
            if root.suffix == ".zip":
                self.archive = zipfile.ZipFile(root)
                members = {m.filename: m for m in self.archive.infolist()}
            else:
                self.archive = tarfile.open(root)  # noqa: SIM115 (open as long as this object)
                members = {m.name + "/" * m.isdir(): m for m in self.archive.getmembers()}
        except DAMAGED as error:
            raise self._damaged(error) from None
        members = {name.removeprefix("./"): member for name, member in members.items()}
        top = self._top(members)
        self.members = {
            name.removeprefix(top): member
            for name, member in members.items()
            if name.startswith(top) and "/." not in f"/{name}"
        }

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f"{self.root}: cannot be read as an archive ({error}); fetch it again")

    def _top(self, names: Sequence[str]) -> str:
        """Find the folder that holds `train/`, the outermost if there are several."""
        tops = {f"/{name}".partition("/train/")[0] for name in names if "/train/" in f"/{name}"}
        if not tops:
            raise DataError(f"{self.root}: holds no folder train/")
        top = min(tops, key=lambda name: (name.count("/"), name)).removeprefix("/")
        return f"{top}/" if top else ""

    def has(self, folder: str) -> bool:
        return bool(self.names(folder))

    def names(self, folder: str) -> list[str]:
        start = f"{folder}/"
        found = (name for name in self.members if name.startswith(start) and name != start)
        return sorted(found, key=lambda name: name.split("/"))

    def size(self, name: str) -> int | None:
        member = self.members[name]
        return member.size if isinstance(member, tarfile.TarInfo) else member.file_size

    def readers(self, names: Sequence[str]) -> Iterator[tuple[int, Read]]:
        if isinstance(self.archive, zipfile.ZipFile):
            for position, name in enumerate(names):
                yield position, partial(self._read, name)
            return
        # Compressed tar archives must be read sequentially, by one thread.
        order = sorted(range(len(names)), key=lambda k: self.members[names[k]].offset_data)
        for position in order:
            content = self._read(names[position])
            yield position, lambda content=content: content

    def _read(self, name: str) -> bytes:
        try:
            if isinstance(self.archive, zipfile.ZipFile):
                return self.archive.read(self.members[name])
            file = self.archive.extractfile(self.members[name])
            return file.read() if file else b""  # not a regular file: unreadable as an image
        except KeyError:  # a link to a file missing from the archive
            return b""
        except DAMAGED as error:
            raise self._damaged(error) from None


def is_archive(path: Path) -> bool:
    return path.name.lower().endswith(ARCHIVE_SUFFIXES) and path.is_file()


def find_tree(root: Path, pattern: str = "*") -> FolderTree:
    """Open the data set at `root`: a folder with `train/`, an archive, or a folder with one.

    Args:
        pattern: glob pattern of the names considered in `root`.

    Raises:
        DataError: there is none, or more than one.
    """
    if is_archive(root):
        return ArchiveTree(root)
    if (root / "train").is_dir():
        return FolderTree(root)
    kinds = f"a folder that holds train/, or an archive ({', '.join(ARCHIVE_SUFFIXES)})"
    if not root.is_dir():
        raise DataError(f"{root}: no such data set; data_root is {kinds}, or a folder with one")
    inside = sorted(root.glob(pattern))
    found = [path for path in inside if (path / "train").is_dir()]
    found = found or [path for path in inside if is_archive(path)]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DataError(
            f"{root}: expected train/ in it, or exactly one thing named {pattern} that is {kinds}; "
            f"found: {names}. Name the data set itself as data_root"
        )
    return ArchiveTree(found[0]) if is_archive(found[0]) else FolderTree(found[0])
