import json

import numpy as np

from synthaug.avatars.importers.lhm import read_betas
from synthaug.avatars.pack.about import About, Provenance
from synthaug.avatars.pack.description import find_problems
from synthaug.avatars.pack.format import read_pack
from synthaug.avatars.pack.levels import add_levels
from synthaug.avatars.pack.papers import apply_papers
from synthaug.cli.main import main
from synthaug.levels import Pyramid


def test_levels_are_added_after_the_finest(pack):
    levels = add_levels(pack, Pyramid(counts=(1200, 500), refine=None)).levels
    counts = [len(level.means) for level in levels]
    assert len(counts) == 3 and counts[0] == 2500 and counts == sorted(counts, reverse=True) and not levels[0].levels


def test_papers_are_written_and_withdrawn_consent_is_found(tmp_path, path, capsys):
    papers = tmp_path / "papers.json"
    papers.write_text(json.dumps({"licence": {"name": "mine"}, "consent": {"withdrawn": True}, "subject": "s1"}))
    assert find_problems(path) == ["licence is not stated"]
    assert main(["avatar", "label", str(path), "--papers", str(papers)]) == 0
    assert read_pack(path).about.subject == "s1"
    assert find_problems(path) == ["may not be used: consent was withdrawn"]
    assert main(["avatar", "validate", str(path.parent)]) == 1
    assert "consent was withdrawn" in capsys.readouterr().out
    papers.write_text('{"consent": {"training": "perhaps"}}')
    assert main(["avatar", "label", str(path), "--papers", str(papers)]) == 2
    assert "consent.training is 'perhaps' instead of bool" in capsys.readouterr().err


def test_two_thousand_mutated_json_files_are_read_or_refused(tmp_path):
    """Papers and shapes: both are typed by hand or come from elsewhere."""
    papers = {"licence": {"name": "mine", "terms": "none"}, "consent": {"training": True, "expires": "2030-01-31"},
              "subject": "s1", "attributes": {"gender": "woman"}, "height": 1.7, "name": "anna"}  # fmt: skip
    about, rng = About("x", Provenance("ply")), np.random.default_rng(0)
    file, refused = tmp_path / "mutant.json", 0
    pieces = [b"9", b"-", b"1e999", b"NaN", b'"', b"[" * 3000, b"{", b"null", b"true", b",", b"\xff"]
    for turn in range(2000):
        plain, read = ((papers, lambda path: apply_papers(about, path)), ([0.5, -1.0, 2.0], read_betas))[turn % 2]
        mutant = bytearray(json.dumps(plain).encode())
        for _ in range(int(rng.integers(1, 4))):
            place = int(rng.integers(len(mutant)))
            if rng.integers(2):
                mutant[place] = int(rng.integers(256))
            else:
                mutant[place : place + int(rng.integers(0, 5))] = pieces[int(rng.integers(len(pieces)))]
        file.write_bytes(mutant)
        try:
            assert read(file) is not None
        except ValueError:
            refused += 1
    assert 1000 < refused < 2000
