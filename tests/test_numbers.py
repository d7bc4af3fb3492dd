"""Every number in the text is printed or set by a cell, repeated from there, cited, or listed.

A number is looked for in what the cells of its own section print and set, and if it has three
digits or more, in the whole chapter.  It may repeat a sentence for which that holds, of its own
chapter or of one that its line names.  Else its line cites a source; if that is a thread, the
thread's entry has the number, too.  What is left stands in `numbers.json` by a fragment of its
line, with a reason.  "in" a file, "under" a heading and "= 137.62 / 118.64" are tried; the rest
are sums of many steps, choices, and sources named elsewhere.

This holds for percentages and for numbers of two digits or more.  Those of one (20, 0.5, 4,000)
may be found anywhere in their chapter, and whole numbers below ten are not looked at, nor are
shapes, names, dates, code, exponents, displayed equations, and the factors of a formula.
A wrong number of two digits can still be right for another line of a long table: see
`test_invented_numbers_are_found`.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.test_threads import THREAD, listed
from tools.chapters import texts

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "notebooks").glob("*.ipynb")), *sorted((ROOT / "book").glob("*.md"))]
LISTED = json.loads(Path(__file__).with_name("numbers.json").read_text(encoding="utf-8"))

NUMBER = re.compile(
    r"(?<![\w.])(?=\.?\d)(\d{1,3}(?:,\d{3})++|\d*+)((?:\.\d++)?+)((?:e[-+]?\d++)?+)"
    r"(%|\s?[KMGB]\b|\s[mb]illion\b|)(?!\w)"
)
SCALE = {"": 1, "%": 0.01, "K": 1e3, "M": 1e6, "million": 1e6, "G": 1e9, "B": 1e9, "billion": 1e9}
NO_MEASUREMENT = re.compile(
    r"\[[^]]*\]\([^)]*\)"  # a link: its name and its address
    r"|\{[\w:-]+\}`[^`]*`|`[^`]*`"  # roles and code
    r"|^\s*\d+\. "  # the number of an item
    r"|\b(?i:chapter|section|equation|table|figure|python|stable diffusion)s?\s"
    r"\d[\d.]*(?:(?:,| and| to| or)+ \d[\d.]*)*"
    r"|\b[A-Za-z][\w.]*(?:-\w+)*[-/]\d[\w.]*"  # DiT-XL/2, S/4, LDM-4
    r"|\b\d{1,2} (?:November|December)\b|\b20[0-3]\d\b"
    r"|\d+(?:\s?(?:x|\\times)\s?\d+)+"  # shapes
    r"|\\textcolor\{[^}]*\}|[_^](?:\{[^}]*\}|\w)"  # colours, indices, exponents
)
MATHS = re.compile(r"\$[^$]+\$")
FACTOR = re.compile(r"\d[\d.]*(?=(?:\\,|\s)*(?!e-?\d)[A-Za-z])")
CHAPTER = re.compile(r"(?:<|notebooks/|[Cc]hapter )(\d\d?)\b")


class Number(NamedTuple):
    """A number as it is written, its value, that of its last digit, and what it is multiplied by.

    48% is 48 ones, times 0.01; 1.2 million is 12 tenths, times a million.
    """

    text: str
    value: float
    unit: float
    scale: float

    @property
    def digits(self) -> int:
        """How many of its digits count: two in 1.2, in 0.012 and in 12, one in 1,000."""
        digits = re.sub(r"e.*|\D", "", self.text).lstrip("0")
        return len(digits if "." in self.text else digits.rstrip("0"))

    def is_in(self, values: Iterable[float]) -> bool:
        """Whether one of the values is this number, rounded to the digits written."""
        return any(abs(value - self.value) <= 0.50001 * self.unit for value in values)


def read(text: str) -> Iterator[Number]:
    """The numbers in a text, without their signs."""
    for match in NUMBER.finditer(text):
        whole, rest, power, suffix = match.groups()
        scale = SCALE[suffix.strip()]
        unit = scale * float(f"1e{int(power[1:] or 0) - max(len(rest) - 1, 0)}")
        yield Number(match[0], int(whole.replace(",", "") + rest[1:]) * unit, unit, scale)


def numbers(line: str) -> list[Number]:
    """The numbers of a line of text that could be measured ones."""
    line = re.sub(r"\b10\^\{(-?\d+)\}", r"1e\1", line.replace("\\%", "%"))
    line = NO_MEASUREMENT.sub(" ", line)
    line = MATHS.sub(lambda match: FACTOR.sub(" ", match[0]), line)
    return [number for number in read(line) if not re.fullmatch(r"\d", number.text)]


def values(text: str) -> Iterator[float]:
    """The values in an output, in code or in a file: 48% is 0.48, and 48."""
    for number in read(re.sub(r"(?<=\d)_(?=\d)", "", text)):
        yield number.value
        yield number.value / number.scale


def prose(markdown: str) -> Iterator[str]:
    """The lines of text, without code and displayed equations; of a directive, what it holds."""
    code = None
    for line in re.sub(r"\$\$.*?\$\$", "", markdown, flags=re.DOTALL).splitlines():
        _, fence, name = re.split(r"^\s*(`{3,}|)", line, maxsplit=1)
        if code:
            code = None if fence == code else code
        elif fence and name and not re.match(r"\{(?!code)", name):
            code = fence
        elif not fence and not re.match(r":[\w-]+:|\(.*\)=$|%", line):
            yield line


class Section(NamedTuple):
    """A heading, the lines from there on, and what the cells below it print and set."""

    heading: str
    lines: list[str]
    values: set[float]


def cut(notebook: nbformat.NotebookNode) -> list[Section]:
    """A page, section by section."""
    found: list[Section] = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for line in prose(cell.source):
                if re.match(r"##? ", line):
                    found.append(Section(line, [], set()))
                found[-1].lines.append(line)
        else:
            found[-1].values.update(values(re.sub("#.*", "", cell.source)))
            for text in (text for output in cell.outputs for text in texts(output)):
                without_state = re.sub("(?s)<script.*?</script>", "", text)  # of a figure
                found[-1].values.update(values(without_state))
    return found


@cache
def page(path: Path) -> list[Section]:
    if path.suffix == ".ipynb":
        return cut(nbformat.read(path, as_version=4))
    return cut(new_notebook(cells=[new_markdown_cell(path.read_text(encoding="utf-8"))]))


def is_shown(number: Number, section: Section, sections: list[Section]) -> bool:
    """Whether the cells print or set it: near by, if it is one that might turn up anywhere."""
    everywhere = number.digits > 2 or number.digits < 2 and "%" not in number.text
    return any(number.is_in(near.values) for near in (sections if everywhere else [section]))


def said(sections: list[Section]) -> set[float]:
    """What the text says and the cells show."""
    return {
        number.value
        for section in sections
        for line in section.lines
        for number in numbers(line)
        if is_shown(number, section, sections)
    }


def is_cited(number: Number, line: str) -> bool:
    """Whether a line names a source; if that is a thread, whether its entry has the number."""
    threads = THREAD.findall(line)
    if "{cite" in line or re.search(r"\]\(http", THREAD.sub("", line).replace("]()", "")):
        return True
    read = [f"{entry['says']} {entry['claim']}" for entry in listed() if entry["url"] in threads]
    return any(number.is_in(values(text)) for text in read)


def bears_out(reason: str, number: Number, sections: list[Section]) -> bool:
    """Whether the file or the section that a reason names has the number, or a sum gives it."""
    kind, _, where = reason.partition(" ")
    if kind == "=":
        return number.is_in([eval(where, vars(math))])
    if kind == "in" and ROOT / where in PAGES:
        return any(number.is_in(section.values) for section in page(ROOT / where))
    if kind == "in":
        return number.is_in(values((ROOT / where).read_text(encoding="utf-8")))
    if kind == "under":
        return any(number.is_in(s.values) for s in sections if s.heading == f"## {where}")
    return True


class Found(NamedTuple):
    """A number, its line, and the rule by which it holds: the fragment, if it is listed."""

    text: str
    line: str
    rule: str


def sources(sections: list[Section], exceptions: dict[str, str]) -> Iterator[Found]:
    """Every number of a page; the rule is empty if none holds."""
    repeated = said(sections)
    for section in sections:
        for line in section.lines:
            named = [p for n in CHAPTER.findall(line) for p in PAGES if p.name[:3] == f"{n:0>2}-"]
            for number in numbers(line):
                rule = next((f for f in exceptions if f in line and number in numbers(f)), "")
                if rule:
                    rule = rule if bears_out(exceptions[rule], number, sections) else ""
                elif line.startswith("**Time**"):
                    rule = "counted"
                elif is_shown(number, section, sections):
                    rule = "shown"
                elif number.is_in(repeated):
                    rule = "repeated"
                elif any(number.is_in(said(page(path))) for path in named):
                    rule = "chapter"
                elif is_cited(number, line):
                    rule = "cited"
                yield Found(number.text, line, rule)


def problems(sections: list[Section], exceptions: dict[str, str]) -> list[str]:
    """The numbers that nothing bears out, and the exceptions of which the page has no number."""
    found = list(sources(sections, exceptions))
    used = {each.rule for each in found}
    return [f"{each.text} has no source: {each.line}" for each in found if not each.rule] + [
        f"listed, but not there: {fragment}" for fragment in exceptions if fragment not in used
    ]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_number_has_a_source(path):
    assert problems(page(path), LISTED.get(path.stem, {})) == []


def test_the_list_names_pages_and_gives_reasons():
    assert set(LISTED) <= {path.stem for path in PAGES}
    for reason in (reason for exceptions in LISTED.values() for reason in exceptions.values()):
        assert re.match(r"= [\d(es]|(in|under) \w|(by hand|a choice|elsewhere): \w", reason), reason


def test_most_numbers_are_shown_by_a_cell():
    rules = Counter(
        each.rule for path in PAGES for each in sources(page(path), LISTED.get(path.stem, {}))
    )
    assert rules.total() > 900
    assert rules["shown"] + rules["repeated"] > 0.6 * rules.total()


def test_invented_numbers_are_found():
    """Of the numbers that cells show, each a little changed, five in six fit no longer."""
    invented = unseen = 0
    for path in PAGES:
        sections = page(path)
        for section in sections:
            for number in (n for line in section.lines for n in numbers(line)):
                if number.digits > 1 and is_shown(number, section, sections):
                    for factor in (0.8, 0.9, 1.1, 1.2):
                        value = round(number.value / number.unit * factor) * number.unit
                        changed = number._replace(value=value)
                        if not number.is_in([value]):
                            invented += 1
                            unseen += is_shown(changed, section, sections)
    assert invented > 1200 and unseen < invented / 6, (unseen, invented)


TEXT = """\
# A chapter

The model reads 48% of 1,200 digits in DiT-S/4, chapter 12, on 4x4 places.

```python
loss = 0.77
```

## Later

The loss is $0.36$, {claim}.
"""


@pytest.mark.parametrize(
    ("claim", "missing"),
    [
        ("as above", []),
        ("not 0.37", ["0.37"]),
        ("and the accuracy 49%", ["49%"]),
        ("and the accuracy 0.48", []),
        ("with 1,201 digits", ["1,201"]),
        ("with `0.99` in code and $2^{34}$ in an exponent", []),
        ("where the paper has 0.99 {cite:p}`peebles2023`", []),
        ("where the paper has 0.99", ["0.99"]),
        ("which is 1.3 million times $4.2$", ["1.3 million", "4.2"]),
    ],
)
def test_a_number_that_no_cell_prints_is_found(claim, missing):
    read, loss = (new_output("stream", name="stdout", text=t) for t in ("0.482 of 1200", "0.3581"))
    first, second = TEXT.replace("{claim}", claim).split("## Later")
    sections = cut(
        new_notebook(
            cells=[
                new_markdown_cell(first),
                new_code_cell("print(read)  # 0.37", outputs=[read]),
                new_markdown_cell("## Later" + second),
                new_code_cell("print(loss)", outputs=[loss]),
            ]
        )
    )
    assert [each.text for each in sources(sections, {}) if not each.rule] == missing


def test_an_exception_is_tried_and_must_be_there():
    sections = cut(new_notebook(cells=[new_markdown_cell("# A\n\nIt has 116,122 parameters.")]))
    for reason, missing in (
        ("in dit_lesson/weights/vit.json", 0),
        ("in dit_lesson/weights/judge.json", 2),
        ("under A", 2),
        ("= 116 * 1000 + 122", 0),
        ("= 116 * 1000", 2),
        ("by hand: a sum", 0),
    ):
        assert len(problems(sections, {"It has 116,122": reason})) == missing
    assert len(problems(sections, {"It has 116,122": "by hand", "It has 7": "by hand"})) == 1


def test_a_thread_is_cited_for_a_number_only_if_its_entry_has_it():
    thread = "[MAR #2](https://github.com/LTH14/mar/issues/2)"
    (right,), (wrong,) = numbers("It is 0.2325."), numbers("It is 0.2326.")
    assert is_cited(right, thread) and not is_cited(wrong, thread)
    assert is_cited(wrong, f"{thread}, {{cite:p}}`peebles2023`") and not is_cited(wrong, "")


def test_the_stated_minutes_are_those_of_words_exercises_and_cells():
    """180 words a minute, one minute an exercise, and what the cells take, rounded up."""
    stated = {}
    for path in (path for path in PAGES if path.suffix == ".ipynb"):
        text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
        (minutes,) = re.findall(r"\*\*Time\*\* about (\d+) minutes", text)
        counted = len(text.split()) / 180 + text.count("{exercise-start}")
        stated[path.stem] = int(minutes) - counted
    assert len(stated) == 19
    assert {name: more for name, more in stated.items() if not -0.5 <= more <= 1.5} == {}
