"""A version as one file, for places that no network reaches: made the same each time, opened with suspicion."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from common.errors import VersionRefusedError
from common.models.admission import CARD_NAME
from common.models.durable import replace_file
from common.models.manifest import MANIFEST_NAME, MAX_BLOB_BYTES
from common.models.signatures import SIGNATURE_NAME

_EPOCH = (1980, 1, 1, 0, 0, 0)
_MAX_FILES = 8
_FIRST = (MANIFEST_NAME, SIGNATURE_NAME, CARD_NAME)


def write_bundle(files: Mapping[str, bytes], path: Path) -> int:
    """Write a version's files as one zip file, stored, in fixed order and without times; give its size in bytes.

    Raises:
        RegistryUnwritableError: It cannot be written; what was there stays.
    """
    content = BytesIO()
    order = [*(name for name in _FIRST if name in files), *sorted(name for name in files if name not in _FIRST)]
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as bundle:
        for name in order:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            bundle.writestr(entry, files[name])
    replace_file(path, content.getvalue())
    return content.tell()


@contextmanager
def opened_bundle(path: Path) -> Iterator[Path]:
    """Unpack a bundle into a folder that vanishes with the block; its content is as untrusted as it was.

    Raises:
        VersionRefusedError: No bundle, or one with paths, links, too many or too large files; nothing was unpacked.
    """
    try:
        with TemporaryDirectory(prefix="maskwatch-") as name, zipfile.ZipFile(path) as bundle:
            folder = Path(name)
            entries = _checked(bundle.infolist(), path)
            for entry in entries:
                with bundle.open(entry) as source:
                    content = source.read(entry.file_size + 1)
                if len(content) != entry.file_size:
                    raise VersionRefusedError("files", f"{path}: {entry.filename} is not as long as the file says")
                (folder / entry.filename).write_bytes(content)
            yield folder
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise VersionRefusedError("files", f"{path}: no bundle of a version: {error}") from error
    except OSError as error:
        raise VersionRefusedError("files", f"{path}: {error.strerror or error}") from error


def _checked(entries: list[zipfile.ZipInfo], path: Path) -> list[zipfile.ZipInfo]:
    names = [entry.filename for entry in entries]
    if len(names) > _MAX_FILES or len(set(names)) != len(names):
        raise VersionRefusedError("files", f"{path}: {len(names)} files; a version has at most {_MAX_FILES}, each once")
    for entry in entries:
        plain = entry.filename == Path(entry.filename).name and not entry.filename.startswith(".")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if not plain or "\\" in entry.filename or kind not in (0, stat.S_IFREG):
            raise VersionRefusedError("name", f"{path}: {entry.filename[:80]!r} is no plain file name")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > MAX_BLOB_BYTES:
            raise VersionRefusedError("size", f"{path}: {entry.filename} is packed, or larger than a version's file")
    return entries
