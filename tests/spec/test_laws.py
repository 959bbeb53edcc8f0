"""Loading any file returns a spec or raises SpecError, in limited time."""

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

from hypothesis import given, settings
from hypothesis import strategies as st

from pragmaspec.errors import SpecError
from pragmaspec.spec.loader import load_spec

EXAMPLES = [
    file.read_text(encoding="utf-8")
    for file in sorted((Path(__file__).parent.parent.parent / "examples" / "specs").glob("*.yaml"))
]
PIECES = [
    *"{}[]:,-?&*!|>'\"%@`#\n\t ~\\",
    "<<: ",
    "*a ",
    "&a ",
    "no",
    "null",
    "1",
    "- ",
    ": ",
    "---\n",
    "\n    ",
    "user_data: ",
    "\u202e",
    "é",
    "\x00",
]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(EXAMPLES))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(text)))
        length = draw(st.integers(0, 12))
        text = text[:start] + draw(st.sampled_from(PIECES) | st.text(max_size=3)) + text[start + length :]
    return text


def answer(text: bytes) -> float:
    """Load ``text`` and return the processor time in seconds."""
    with TemporaryDirectory() as directory:
        file = Path(directory) / "spec.yaml"
        file.write_bytes(text)
        begin = process_time()
        with suppress(SpecError):
            load_spec(file, user_config=Path(directory), home=Path(directory))
        return process_time() - begin


@settings(max_examples=150, deadline=None)
@given(mutated())
def test_mutated_specs_are_loaded_or_rejected_quickly(text: str) -> None:
    assert answer(text.encode("utf-8", "surrogatepass")) < 1


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300) | st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"%#\n ?<~,1"), max_size=120).map(str.encode))
def test_any_bytes_are_loaded_or_rejected_quickly(data: bytes) -> None:
    assert answer(data) < 1
