"""Compile the edge's packet path into build/compiled (see pxe_edge/compiled.py); nothing to do, nothing done.

Needs a C compiler and Python's headers. Without them, or when it fails, the edge runs interpreted: slower,
and otherwise the same.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from pxe_edge import compiled

INSIDE = "--inside"
LOG = compiled.ROOT / "build" / "compiled.log"


def is_built(digest: str) -> bool:
    """Whether the build that is there is of these sources."""
    try:
        return bool(json.loads((compiled.BUILT / compiled.MANIFEST).read_bytes())["digest"] == digest)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def build(target: Path) -> None:
    """Run mypyc; extension modules go below `target`."""
    from mypyc.build import mypycify  # noqa: PLC0415 - half a second that a look at the digest does without
    from setuptools import setup  # noqa: PLC0415 - as above

    sources = [str(compiled.source(name).relative_to(compiled.ROOT)) for name in compiled.MODULES]
    extensions = mypycify(sources, opt_level="3", debug_level="0", target_dir=str(target / "c"))
    arguments = ["--build-lib", str(target / "lib"), "--build-temp", str(target / "o")]
    setup(
        name="rackflow-packet-path",
        packages=[],
        ext_modules=extensions,
        script_args=["-q", "build_ext", *arguments],
    )


def publish(target: Path, digest: str) -> None:
    """Write the manifest and put the build in place of the last one; no edge ever sees half of it."""
    library = target / "lib"
    suffix = next(library.glob("*.so")).name.partition(".")[2]
    files = {file.relative_to(library) for file in library.rglob(f"*.{suffix}")}
    modules = {".".join(file.with_name(file.name.partition(".")[0]).parts): str(file) for file in files}
    if missing := set(compiled.MODULES) - modules.keys():
        raise RuntimeError(f"not compiled: {', '.join(sorted(missing))}")
    (library / compiled.MANIFEST).write_text(json.dumps({"digest": digest, "modules": modules}, indent=1))
    shutil.rmtree(compiled.BUILT, ignore_errors=True)
    library.rename(compiled.BUILT)


def main() -> int:
    """Exit 0 if the build in place is of these sources."""
    if INSIDE in sys.argv:
        build(Path(sys.argv[-1]))
        return 0
    digest = compiled.digest()
    if is_built(digest):
        return 0
    sys.stderr.write("setup: compiling the packet path (half a minute)\n")
    LOG.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=LOG.parent) as folder, LOG.open("w") as log:
        argv = [sys.executable, __file__, INSIDE, folder]
        env = os.environ | {"MYPY_CACHE_DIR": str(Path(folder) / "cache")}
        done = subprocess.run(argv, cwd=compiled.ROOT, env=env, stdout=log, stderr=log, check=False)
        if done.returncode == 0:
            publish(Path(folder), digest)
            return 0
    sys.stderr.write(f"setup: not compiled, the edge runs interpreted; why is in {LOG}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
