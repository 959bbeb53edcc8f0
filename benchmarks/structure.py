"""Measure the structure of the source: sizes, folders, import circles, wording of docstrings, error helpers, repeated names.

    python benchmarks/structure.py [ROOT|REVISION ...] [--verbose] [--startup]

Each argument is a checkout or a git revision of this one (default: this checkout). Several are printed side by side, in the given
order. ``--verbose`` also lists the source locations behind the figures. ``--startup`` times the command of each checkout with an
editable installation of itself in ``.venv``; a revision has none.
"""

import argparse
import ast
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from import_graph import Level, described_circles, import_circles, import_graph
from measure import home_in, machine, table, take_turns
from scratch import scratch
from source_code import (
    PACKAGE,
    Module,
    called,
    comments,
    docstring_count,
    docstrings,
    folder_sizes,
    functions,
    is_error,
    modules,
    only_builds_an_error,
    repeated_class_names,
)

ROOT = Path(__file__).parents[1]

LONG_MODULE = 500
LARGE_FOLDER = 25
LONG_FUNCTION = 40
MANY_PARAMETERS = 5
SHORT_DOCSTRING = 4

QUESTION_WORDS: Mapping[str, frozenset[str]] = {
    "What": frozenset({"what", "whatever"}),
    "Whether": frozenset({"whether"}),
    "Who": frozenset({"who", "whom", "whose", "whoever", "whomever"}),
    "Where": frozenset({"where", "wherever"}),
    "How": frozenset({"how", "however"}),
    "Which": frozenset({"which", "whichever"}),
    "When": frozenset({"when", "whenever"}),
}
"""First words of docstrings, each with the forms that count as the same word."""

_PERSONS = re.compile(r"\b(whoever|nobody|somebody|anybody)\b", re.IGNORECASE)
_FIRST_WORD = re.compile(r"``.*?``|\w+", re.DOTALL)
_WORD = re.compile(r"\S*\w\S*")
_ROUNDS = 10


@dataclass(frozen=True)
class Figure:
    """One row of the table. ``places`` are listed by ``--verbose``."""

    name: str
    value: str
    places: tuple[str, ...] = ()


def main() -> None:
    arguments = _arguments()
    with scratch() as folder:
        roots = {name: _root(name, folder) for name in arguments.of} or {ROOT.name: ROOT}
        sources = {name: modules(root) for name, root in roots.items()}
        every = {name: figures(source) for name, source in sources.items()}
        print(table(_head(every), _rows(list(every.values()))))
        print()
        print(table(_head(every), _rows([most_common_words(source) for source in sources.values()])))
        if arguments.verbose:
            _print_places(every)
        if arguments.startup:
            print(f"\n{machine()}")
            print(table(_head(every), _rows(startup(roots, folder))))


def figures(source: Sequence[Module]) -> list[Figure]:
    """Return all figures that depend on the source alone."""
    return [
        *_sizes(source),
        *_folders(source),
        *_circles(source),
        *_words(source),
        *_functions(source),
        *_problems(source),
        *_class_names(source),
    ]


def first_word(docstring: str) -> str:
    """Return the first word, or the leading text in double backticks."""
    found = _FIRST_WORD.search(docstring)
    return found[0] if found else ""


def beginning_with(question: str, texts: Iterable[str]) -> list[str]:
    """Return the docstrings that begin with a form of ``question``, a key of ``QUESTION_WORDS``."""
    return [text for text in texts if first_word(text).lower() in QUESTION_WORDS[question]]


def most_common_words(source: Iterable[Module], number: int = 10) -> list[Figure]:
    """Return the most common first words of docstrings, one row per rank."""
    counted = Counter(first_word(text) for module in source for text in docstrings(module))
    return [
        Figure(f"first word of docstrings, rank {rank}", f"{word} {count}")
        for rank, (word, count) in enumerate(counted.most_common(number), start=1)
    ]


def startup(roots: Mapping[str, Path], folder: Path) -> list[list[Figure]]:
    """Return for each checkout the fastest start of its command and of its Python; all run in turns."""
    env = home_in(folder)
    commands: dict[str, list[str]] = {}
    for name, root in roots.items():
        if _is_installed(root, folder, env):
            programs = root.absolute() / ".venv" / "bin"
            commands[f"{name}: python"] = [str(programs / "python"), "-c", "pass"]
            commands[f"{name}: help"] = [str(programs / PACKAGE), "--help"]
    runs = take_turns(commands, _ROUNDS, cwd=folder, env=env)
    fastest = {name: each.fastest_s for name, each in runs.items()}
    return [_startup_figures(fastest.get(f"{name}: python"), fastest.get(f"{name}: help")) for name in roots]


def _root(name: str, folder: Path) -> Path:
    """Return the checkout ``name``, or extract the revision ``name`` below ``folder``."""
    if (Path(name) / PACKAGE).is_dir():
        return Path(name)
    git = ["git", "-C", str(ROOT)]
    named = [*git, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
    revision = subprocess.run(named, capture_output=True, text=True, check=False).stdout.strip()
    if not revision:
        sys.exit(f"{name} is neither a checkout with a folder {PACKAGE} nor a git revision of {ROOT}.")
    target, archive = folder / revision, folder / f"{revision}.zip"
    taken = [*git, "archive", "--format=zip", f"--output={archive}", revision, PACKAGE]
    done = subprocess.run(taken, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"The revision {name} could not be extracted: {done.stderr.strip()}")
    shutil.unpack_archive(archive, target)
    return target


def _sizes(source: Sequence[Module]) -> list[Figure]:
    longest = max(source, key=lambda module: module.lines)
    long = [module for module in source if module.lines > LONG_MODULE]
    return [
        Figure("modules", str(len(source))),
        Figure("  without empty __init__", str(sum(bool(module.tree.body) or not module.is_package for module in source))),
        Figure("lines", str(sum(module.lines for module in source))),
        Figure("lines of the longest module", str(longest.lines), (str(longest.path),)),
        Figure(f"modules above {LONG_MODULE} lines", str(len(long)), tuple(f"{each.path} {each.lines}" for each in long)),
    ]


def _folders(source: Sequence[Module]) -> list[Figure]:
    sizes = folder_sizes(source).most_common()
    large = tuple(f"{folder} {size}" for folder, size in sizes if size > LARGE_FOLDER)
    return [
        Figure("folders with modules", str(len(sizes))),
        Figure("modules of the largest folder", str(sizes[0][1]), (sizes[0][0],)),
        Figure(f"folders above {LARGE_FOLDER} modules", str(len(large)), large),
    ]


def _circles(source: Sequence[Module]) -> list[Figure]:
    names = {
        Level.MODULE: "import circles at module level",
        Level.FUNCTION: "  circles with imports in functions",
        Level.TYPES: "  circles with imports in functions or for types",
    }
    rows = []
    for level, name in names.items():
        graph = import_graph(source, level)
        circles = import_circles(graph)
        rows += [
            Figure(name, str(len(circles)), described_circles(graph)),
            Figure("    modules in them", str(sum(map(len, circles)))),
        ]
    return rows


def _words(source: Sequence[Module]) -> list[Figure]:
    documented = [(module, text) for module in source for text in docstrings(module)]
    texts = [text for _, text in documented]
    remarks = documented + [(module, comment) for module in source for comment in comments(module)]
    persons = tuple(f"{module.path}: {_one_line(text)}" for module, text in remarks if _PERSONS.search(text))
    short = tuple(
        f"{module.path}: {_one_line(text)}" for module, text in documented if len(_WORD.findall(text)) <= SHORT_DOCSTRING
    )
    return [
        Figure("docstrings", str(len(texts))),
        Figure("  of modules, classes and functions", str(sum(map(docstring_count, source)))),
        *(Figure(f"  beginning with {word}", _share(len(beginning_with(word, texts)), len(texts))) for word in QUESTION_WORDS),
        Figure(f"  docstrings of {SHORT_DOCSTRING} words or fewer", str(len(short)), short),
        Figure("docstrings, comments with whoever, nobody, …", str(len(persons)), persons),
    ]


def _functions(source: Sequence[Module]) -> list[Figure]:
    every = [function for module in source for function in functions(module)]
    chosen = {
        f"  functions of more than {MANY_PARAMETERS} parameters": [each for each in every if each.parameters > MANY_PARAMETERS],
        f"  functions of more than {LONG_FUNCTION} lines": [each for each in every if each.lines > LONG_FUNCTION],
        "  functions that only build an error": [each for each in every if only_builds_an_error(each)],
        "  the same, assignments before it allowed": [each for each in every if only_builds_an_error(each, assignments=True)],
    }
    return [
        Figure("functions", str(len(every))),
        *(Figure(name, str(len(found)), tuple(map(str, found))) for name, found in chosen.items()),
    ]


def _problems(source: Sequence[Module]) -> list[Figure]:
    nodes = [node for module in source for node in ast.walk(module.tree)]
    raised = [node.exc for node in nodes if isinstance(node, ast.Raise) and node.exc is not None and is_error(node.exc)]
    inside = [inner for error in raised for inner in ast.walk(error) if _is_problem(inner)]
    return [
        Figure("Problem(summary=…) built", str(sum(map(_is_problem, nodes)))),
        Figure("  inside raise …Error(…)", str(len(inside))),
    ]


def _class_names(source: Sequence[Module]) -> list[Figure]:
    rows = []
    for name, private in (("public class names in several modules", False), ("private class names in several modules", True)):
        found = repeated_class_names(source, private=private)
        rows.append(Figure(name, str(len(found)), tuple(f"{each}: {', '.join(paths)}" for each, paths in found.items())))
    return rows


def _is_problem(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and called(node) == "Problem" and any(keyword.arg == "summary" for keyword in node.keywords)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _share(part: int, whole: int) -> str:
    return f"{part} ({part / whole:.1%})" if whole else "0"


def _is_installed(root: Path, folder: Path, env: Mapping[str, str]) -> bool:
    """True if the ``.venv`` of the checkout contains the command, and runs it from this checkout."""
    programs = root.absolute() / ".venv" / "bin"
    if not (programs / PACKAGE).exists():
        return False
    asked = [str(programs / "python"), "-c", f"import {PACKAGE}; print({PACKAGE}.__file__)"]
    answer = subprocess.run(asked, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return answer.returncode == 0 and Path(answer.stdout.strip()).resolve().is_relative_to((root / PACKAGE).resolve())


def _startup_figures(python_s: float | None, help_s: float | None) -> list[Figure]:
    names = ("python -c pass, ms", f"{PACKAGE} --help, ms", "  as a multiple of python -c pass")
    if python_s is None or help_s is None:
        return [Figure(name, "no .venv") for name in names]
    values = (f"{python_s * 1000:.0f}", f"{help_s * 1000:.0f}", f"{help_s / python_s:.1f}")
    return [Figure(name, value) for name, value in zip(names, values, strict=True)]


def _head(every: Iterable[str]) -> list[str]:
    return ["", *_with_arrows(list(every))]


def _rows(columns: Sequence[Sequence[Figure]]) -> list[list[str]]:
    return [[row[0].name, *_with_arrows([figure.value for figure in row])] for row in zip(*columns, strict=True)]


def _with_arrows(cells: Sequence[str]) -> list[str]:
    return [part for cell in cells for part in ("→", cell)][1:]


def _print_places(every: Mapping[str, Sequence[Figure]]) -> None:
    for name, rows in every.items():
        for figure in rows:
            if figure.places:
                print(f"\n{name}: {figure.name.strip()}", *figure.places, sep="\n    ")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("of", nargs="*", metavar="ROOT|REVISION")
    parser.add_argument("--verbose", action="store_true", help="also list the source locations behind the figures")
    parser.add_argument("--startup", action="store_true", help="time the command of each checkout with a .venv")
    return parser.parse_args()


if __name__ == "__main__":
    main()
