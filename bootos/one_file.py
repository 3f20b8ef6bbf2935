"""rf-exec and rf-write, each as one file: modules put one after the other.

A deployed system gets rf-exec as a single file that needs nothing but python3; here its parts are modules
that can be read and tested one by one.
"""

import ast
from pathlib import Path

HERE = Path(__file__).parent
PROGRAMS = {
    "rf-exec": ("rf_records.py", "rf_disk.py", "rf_fence.py", "rf_step.py", "rf_exec.py"),
    "rf-write": ("rf_target.py", "rf_held.py", "rf_image.py", "rf_write.py"),
    "rf-wipe": (
        "rf_records.py",
        "rf_disk.py",
        "rf_target.py",
        "rf_held.py",
        "rf_erase.py",
        "rf_sanitize.py",
        "rf_release.py",
        "rf_wipe.py",
    ),
    "rf-tpm2": ("rf_tpm2.py",),
    "bring-up": ("bring_up.py",),
}


def program(name: str) -> str:
    """The text that is installed as /usr/lib/rackflow/NAME."""
    sources = [(HERE / part).read_text() for part in PROGRAMS[name]]
    main = sources[-1]
    shebang = main.partition("\n")[0]
    docstring = ast.get_docstring(ast.parse(main), clean=False)
    head = f'{shebang}\n"""{docstring}"""\n\nfrom __future__ import annotations\n'
    return head + "".join(f"\n{_body(source).strip()}\n" for source in sources)


def _body(source: str) -> str:
    """A module without its docstring, its `from __future__` and what it imports from its neighbours."""
    dropped = {0} if source.startswith("#!") else set()
    for index, node in enumerate(ast.parse(source).body):
        docstring = index == 0 and isinstance(node, ast.Expr)
        neighbour = isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            ("__future__", "bootos.")
        )
        if docstring or neighbour:
            dropped |= set(range(node.lineno - 1, node.end_lineno or node.lineno))
    return "\n".join(line for number, line in enumerate(source.splitlines()) if number not in dropped)
