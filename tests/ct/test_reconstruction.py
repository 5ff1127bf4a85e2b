"""Names of reconstructions, as makers write them."""

from __future__ import annotations

import pytest

from ldct_clipdn.ct.reconstruction import iterative_words


@pytest.mark.parametrize(
    ("kernel", "description"),
    [
        (["I30f", "3"], "Abdomen"),
        (["I31f"], ""),
        (["Br40d", "3"], "Abdomen 3.0"),
        (["J30s", "2"], ""),
        (["UB"], "STD BRAIN 1MM, iDose"),
        (["STANDARD"], "5mm SS40 ASiR"),
        (["FC08"], "AIDR 3D STD"),
        (["IMR1"], ""),
        (["STANDARD"], "DLIR-H"),
        (["STANDARD"], "Deep Learning recon"),
        ([], "SAFIRE 3"),
        ([], "ITERATIVE"),
    ],
)
def test_iterative_reconstructions_are_recognised(kernel: list[str], description: str) -> None:
    assert iterative_words(kernel, description) in (" ".join(kernel), description)
    assert iterative_words(kernel, description)


@pytest.mark.parametrize(
    ("kernel", "description"),
    [
        (["B30f"], "Abdomen 3.0 B30f"),
        (["B40s"], ""),
        (["Br40f"], "Thorax"),
        (["59 .10.AB50"], ""),
        (["STANDARD"], "HELICAL MODE"),
        (["LUNG"], "Alveolar, deep vein"),
        (["FC08"], "IMRT planning"),
        ([], "FILTER_BACK_PROJ"),
        ([], ""),
    ],
)
def test_filtered_back_projection_is_not(kernel: list[str], description: str) -> None:
    assert iterative_words(kernel, description) == ""
