"""What identifies weights that lie on this machine: hashes of content, so that a copy elsewhere has the same one."""

import hashlib
from pathlib import Path


def content_hash(file: Path) -> str:
    """SHA-256 of a file, hexadecimal. Raises `OSError` where it cannot be read."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_hash(folder: Path) -> str:
    """SHA-256 over names and contents of the folder's own files, hidden ones and subfolders left out; hexadecimal."""
    digest = hashlib.sha256()
    for file in sorted(f for f in folder.iterdir() if f.is_file() and not f.name.startswith(".")):
        digest.update(f"{file.name}\n{content_hash(file)}\n".encode())
    return digest.hexdigest()
