import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pragmaspec.errors import StateUnreadableError
from pragmaspec.state.backends.document import decode_document, encode_document, new_document, raw_state
from tests.state.backends.samples import snapshot
from tests.state.samples import LINEAGE

DOCUMENT = new_document(snapshot(3), "one", 7)


@given(st.text(), st.integers(0, 2**53), st.text(max_size=5))
def test_a_document_round_trips(journal, serial, writer):
    document = replace(DOCUMENT, journal=journal, journal_serial=serial, writer=writer)
    assert decode_document(encode_document(document), "x") == document


def test_the_document_meets_the_requirements_of_gitlab():
    document = json.loads(encode_document(DOCUMENT))
    assert document["serial"] == 7
    assert not {"ID", "id", "name"} & set(document)
    assert (document["format"], document["kind"], document["lineage"]) == (1, "pragmaspec", LINEAGE)


def test_every_truncation_and_flipped_bit_is_refused_or_harmless():
    data = encode_document(DOCUMENT)
    for end in range(len(data)):
        with pytest.raises(StateUnreadableError):
            decode_document(data[:end], "x")
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        try:
            found = decode_document(bytes(changed), "x")
        except StateUnreadableError:
            continue
        # An accepted change is inside a value; the snapshot has its own checksum, and the journal its chain.
        assert found != DOCUMENT or changed == data


@given(st.binary(max_size=400))
def test_other_content_is_reported(data):
    with pytest.raises(StateUnreadableError, match="Nothing was changed"):
        decode_document(data, "x")


def test_a_lone_surrogate_is_refused():
    data = encode_document(DOCUMENT).replace(b'"journal":""', b'"journal":"\\ud800"')
    with pytest.raises(StateUnreadableError):
        decode_document(data, "x")


def test_a_document_as_raw_state():
    assert raw_state(None, "x").snapshot is None
    found = raw_state(replace(DOCUMENT, journal="a\n", journal_serial=3), "x")
    assert (found.snapshot, found.journals[0].serial, found.journals[0].data) == (snapshot(3), 3, b"a\n")
