"""The printed numbers, as data: whole, and a few read off the paper once more."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

from ldct_clipdn.bench.published import published_efficiency, published_scores
from ldct_clipdn.core.noise import PAPER_NOISES


def test_every_cell_of_tables_1_and_9_is_there():
    cells = published_scores(1, 9)
    labels = {noise.label for noise in PAPER_NOISES}
    sets = {"CBSD68", "McMaster", "Kodak24", "Urban100"}
    methods = {"DnCNN", "Restormer", "MaskedDenoising", "HAT", "DIL", "CLIPDenoising"}
    assert set(cells) == {(s, n, m) for s in sets for n in labels for m in methods}


def test_cells_read_off_the_paper():
    assert published_scores(1)["Kodak24", "gaussian:50", "CLIPDenoising"][:2] == (27.39, 0.723)
    assert published_scores(9)["Urban100", "salt_pepper:0.016", "DIL"][:2] == (29.75, 0.855)
    assert published_scores(2)["CC", "", "LUD-VAE"][:2] == (35.48, 0.941)
    assert published_scores(3)["L506", "", "CLIPDenoising"][:2] == (45.88, 0.976)
    assert published_scores(4)["Kodak24", "gaussian:50", "finetune"][:2] == (19.03, 0.276)
    assert published_scores(7)["Rain and mist (S)", "", "PromptIR"][:2] == (21.89, 0.673)
    assert published_efficiency()["CLIPDenoising"] == (19.5, 0.018, 83.58)


def test_the_three_misprints_are_marked():
    everything = [published_scores(table) for table in (1, 2, 3, 4, 5, 7, 8, 9, 10)]
    marked = [key for cells in everything for key, one in cells.items() if one.remark]
    assert sorted(marked) == [
        ("Kodak24", "poisson:3", "MaskedDenoising"),
        ("Kodak24", "poisson:3.5", "baseline"),
        ("McMaster", "spatial_gaussian:45", "Restormer"),
    ]


def test_a_variant_printed_in_several_tables_has_one_name_and_one_figure():
    cells = [published_scores(table) for table in (4, 5, 8, 10)]
    for first, second in combinations(cells, 2):
        for key in first.keys() & second.keys():
            assert first[key][:2] == second[key][:2]
    assert len(cells[0].keys() & cells[3].keys()) == 2  # without PFA on Kodak24, in 4 and 10
    of_baseline = {one for one, _, method in published_scores(4, 5, 8, 10) if method == "baseline"}
    assert of_baseline == {"Kodak24", "Urban100", "McMaster"}


def test_tables_are_as_long_as_printed():
    lengths = Counter({table: len(published_scores(table)) for table in (1, 2, 3, 4, 5, 7, 8, 10)})
    assert lengths == {1: 96, 2: 18, 3: 4, 4: 18, 5: 9, 7: 6, 8: 8, 10: 30}
