"""A run as it really is, from start to verified bundle."""

from pathlib import Path

import pytest
from driving import folder, ptb, run


@pytest.mark.slow
def test_a_real_run_is_bundled_and_verified(tmp_path: Path) -> None:
    record = run("--agent", "base", cwd=tmp_path)
    made = ptb("bundle", "last", "--weights", cwd=tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    name, digest = f"{record['run']}.ptb.tar.gz", made.stdout.split()[-1]
    words = ["verify", name, "--digest", digest, "--weights", str(folder(record, tmp_path) / "checkpoint")]
    answer = ptb(*words, "--report", "report.html", cwd=tmp_path)
    assert answer.returncode == 0, answer.stdout
    assert "14 checks found nothing wrong" in answer.stdout
    assert record["digest"] in (tmp_path / "report.html").read_text()
