"""File names of services and targets with any name."""

from hypothesis import given
from hypothesis import strategies as st

from leakwatch.evidence.file_names import MAX_LENGTH, decode_name, encode_name


@given(st.text(max_size=60), st.text(max_size=60))
def test_different_names_have_different_file_names(name: str, other: str) -> None:
    """A file name that was not cut can be decoded."""
    assert (encode_name(name) == encode_name(other)) == (name == other)
    if len(encode_name(name)) <= MAX_LENGTH and name:
        assert decode_name(encode_name(name)) == name


def test_a_name_without_special_characters_stays_as_it_is() -> None:
    """Ordinary names are readable in the folder."""
    assert encode_name("10.0.0.1:6060") == decode_name("10.0.0.1:6060") == "10.0.0.1:6060"
