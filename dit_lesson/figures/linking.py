"""One self-contained script out of a figure's modules.

A page opened from disk refuses to import files, and a widget is sent as one text.  So the modules
are put behind each other, each in a function of its own, where no two names can collide.  Only
the forms below are understood; every other ``import`` or ``export`` is refused, not guessed at.
"""

import re
from pathlib import Path

# after `deno fmt` a line that begins so is a statement: all else is indented
STATEMENT = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)
FROM = r'from "(\.{1,2}/[\w./-]+\.mjs)";'
NAMED = re.compile(rf"(import|export) (\{{[\w\s,]+\}}) {FROM}", re.ASCII)
DEFAULT = re.compile(rf"import (\w+) {FROM}", re.ASCII)
ALL = re.compile(rf"import \* as (\w+) {FROM}", re.ASCII)
DECLARED = re.compile(
    r"export (?=(?:async )?function\*? ?(\w+)\(|(?:const|class) (\w+) )|export (default) ", re.ASCII
)
# a comment that has its lines for itself: readers of the source have it, pages need not load it
COMMENT = re.compile(r"^ *(?://.*|/\*\*(?:[^*]|\*(?!/))*\*/)\n", re.MULTILINE)
INDENT = re.compile(r"^ +", re.MULTILINE)
DYNAMIC = re.compile(r"\bimport\s*[(.]")


def link_file(path: Path) -> str:
    """The text of a module's file, with all that it imports in front of it."""
    return link(path.read_text(encoding="utf-8"), path.parent)


def link(entry: str, folder: Path) -> str:
    """The text of a module that stands in `folder`, with all that it imports in front of it.

    What the entry itself exports stays exported.

    Raises: ValueError if a module has an import or an export in a form that is not understood,
    or if modules import each other in a circle.
    """
    root = folder.resolve()
    finished: dict[Path, str] = {}
    begun: set[Path] = set()

    def name(path: Path) -> str:
        return path.relative_to(root).as_posix()

    def use(names: str, path: Path) -> str:
        if path not in finished:
            if path in begun:
                raise ValueError(f"link: {path.name} imports itself in a circle")
            begun.add(path)
            code, exports = convert(path.read_text(encoding="utf-8"), path, inner=True)
            finished[path] = f"{code}return {{ {', '.join(exports)} }};\n"
        return f'const {names.replace(" as ", ": ")} = modules["{name(path)}"];'

    def convert(code: str, path: Path, inner: bool) -> tuple[str, list[str]]:
        if DYNAMIC.search(code):
            raise ValueError(f"link: {path.name} uses import() or import.meta")
        code = COMMENT.sub("", code)
        exports: list[str] = []

        def rewrite(statement: re.Match[str]) -> tuple[str, int]:
            if match := NAMED.match(code, statement.start()):
                kind, names, other = match.groups()
                if kind == "export":
                    exports.extend(re.findall(r"(\w+)\s*[,}]", names))
                return use(names, (path.parent / other).resolve()), match.end()
            if match := DEFAULT.match(code, statement.start()):
                local, other = match.groups()
                return use(f"{{ default: {local} }}", (path.parent / other).resolve()), match.end()
            if match := ALL.match(code, statement.start()):
                local, other = match.groups()
                return use(local, (path.parent / other).resolve()), match.end()
            if match := DECLARED.match(code, statement.start()):
                if not inner:
                    return match[0], match.end()
                exports.append(match[1] or match[2] or "default: standard")
                return "const standard = " if match[3] else "", match.end()
            raise ValueError(f"link: {path.name} has a form that is not known: {statement[0]}")

        pieces, position = [], 0
        for statement in STATEMENT.finditer(code):
            replacement, end = rewrite(statement)
            pieces += [code[position : statement.start()], replacement]
            position = end
        return "".join([*pieces, code[position:]]), exports

    body, _ = convert(entry, root / "entry.mjs", inner=False)
    blocks = [f'modules["{name(p)}"] = (() => {{\n{code}}})();\n' for p, code in finished.items()]
    return INDENT.sub("", "".join(["const modules = {};\n", *blocks, body]))
