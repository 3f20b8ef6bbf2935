"""rf-exec as one file: its modules put one after the other, because a deployed system gets a single file."""

import ast
from pathlib import Path

HERE = Path(__file__).parent
RF_EXEC_PARTS = ("rf_records.py", "rf_disk.py", "rf_fence.py", "rf_exec.py")


def rf_exec() -> str:
    """The text that is installed as /usr/lib/rackflow/rf-exec."""
    sources = [(HERE / name).read_text() for name in RF_EXEC_PARTS]
    main = sources[-1]
    shebang = main.partition("\n")[0]
    docstring = ast.get_docstring(ast.parse(main), clean=False)
    head = f'{shebang}\n"""{docstring}"""\n\nfrom __future__ import annotations\n'
    return head + "".join(f"\n{body(source).strip()}\n" for source in sources)


def body(source: str) -> str:
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
