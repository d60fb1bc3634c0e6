"""What a reader hands out beside `str` and `bytes`."""

import pytest

from wscore.codec.messages import Piece, Stop


def test_a_piece_has_its_data_and_its_place():
    piece = Piece(b"data", True, False)
    assert (piece.data, piece.first, piece.last) == (b"data", True, False)
    assert Piece(data="text", first=False, last=True).data == "text"


def test_pieces_are_equal_if_all_of_them_is():
    assert Piece("x", True, True) == Piece("x", True, True)
    for other in (Piece("y", True, True), Piece("x", False, True), Piece("x", True, False), Piece(b"x", True, True)):
        assert Piece("x", True, True) != other


def test_a_piece_equals_nothing_but_a_piece():
    assert Piece("x", True, True) != "x"
    assert Piece("x", True, True) != ("x", True, True)


def test_a_piece_can_be_matched():
    match Piece("x", True, False):
        case Piece(data, True, last):
            assert (data, last) == ("x", False)
        case _:
            pytest.fail("no match")


def test_a_piece_shows_what_it_is():
    assert repr(Piece(b"x", True, False)) == "Piece(b'x', first=True, last=False)"


def test_a_piece_is_small_and_has_no_hash():
    piece = Piece("x", True, True)
    assert not hasattr(piece, "__dict__")
    with pytest.raises(TypeError):
        hash(piece)


def test_a_reader_stops_for_four_reasons():
    assert {stop.name: int(stop) for stop in Stop} == {"NEED_DATA": 0, "CONTROL": 1, "DEFECT": 2, "BUDGET": 3}
