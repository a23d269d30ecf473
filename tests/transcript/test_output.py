"""Lines of a stored output, and when they came."""

from pathlib import Path

from posttrainbench.transcript import output
from posttrainbench.transcript.output import Line


def read(tmp_path: Path, log: bytes, index: bytes) -> list[Line]:
    """Lines of an output with its index."""
    (tmp_path / "output.log").write_bytes(log)
    (tmp_path / "output.index").write_bytes(index)
    return list(output.lines(tmp_path / "output.log", output.read_index(tmp_path / "output.index")))


def test_a_line_has_the_time_at_which_its_last_byte_had_come(tmp_path: Path) -> None:
    index = b'{"t": 1.0, "offset": 0}\n{"t": 5.0, "offset": 6}\n'
    assert read(tmp_path, b'{"1"}\n{"2"}\n', index) == [Line(b'{"1"}\n', 1.0), Line(b'{"2"}\n', 5.0)]


def test_times_after_dropped_bytes_count_them(tmp_path: Path) -> None:
    index = b'{"t": 1.0, "offset": 0}\n{"t": 9.0, "offset": 106}\n'
    log = b'{"1"}\n' + b"\n[100 bytes of output were dropped here]\n" + b'{"2"}\n'
    assert read(tmp_path, log, index) == [
        Line(b'{"1"}\n', 1.0),
        Line(b"\n", 1.0),
        Line(b"", 9.0, 100),
        Line(b'{"2"}\n', 9.0),
    ]


def test_lines_of_text_come_in_blocks(tmp_path: Path) -> None:
    assert read(tmp_path, b'a\nb\n{"1"}\nc', b"") == [
        Line(b"a\nb\n", None),
        Line(b'{"1"}\n', None),
        Line(b"c", None),
    ]


def test_no_byte_of_text_is_lost_whatever_the_size_of_its_lines(tmp_path: Path) -> None:
    content = b"".join(b"x" * (n * 997 % 40_000) + b"\n" for n in range(100))
    lines = read(tmp_path, content, b"")
    assert b"".join(line.content for line in lines) == content
    assert max(len(line.content) for line in lines) <= output.BLOCK_BYTES + 1


def test_of_a_line_that_is_too_long_the_beginning_is_kept_and_the_next_is_read(tmp_path: Path) -> None:
    index = b'{"t": 1.0, "offset": 0}\n{"t": 5.0, "offset": 50000003}\n'
    long, after = read(tmp_path, b'{"' + b"x" * 50_000_000 + b'\n{"2"}\n', index)
    assert (len(long.content), long.t, after) == (output.KEPT_OF_LONG, 1.0, Line(b'{"2"}\n', 5.0))


def test_an_index_with_lines_that_are_none_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    index = b'{"t": 1.0, "offset": 0}\nnonsense\n{"t": 0.5, "offset": 3}\n\xff\n{"t": 5.0, "offset": 6}\n{"t": 9'
    assert [line.t for line in read(tmp_path, b'{"1"}\n{"2"}\n', index)] == [1.0, 5.0]


def test_an_output_that_does_not_exist_has_no_lines(tmp_path: Path) -> None:
    assert list(output.lines(tmp_path / "none", output.read_index(tmp_path / "none"))) == []
