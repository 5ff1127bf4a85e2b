"""Means over a set, beside the paper's figures, in Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from ldct_clipdn.bench.published import SOURCE, Published
from ldct_clipdn.bench.results import Row, markdown_table, write_text
from ldct_clipdn.data.natural import published_size

__all__ = ["Cell", "Table", "make_table", "write_table"]

MISPRINT: Final = "†"

Place = tuple[str, str]


class Cell(NamedTuple):
    """Means over the pictures of one set.

    Parameters
    ----------
    psnr
        In dB.
    ssim
        Up to 1.
    images
        How many.
    setting
        What the method was set to, or empty.
    """

    psnr: float
    ssim: float
    images: int
    setting: str


@dataclass(frozen=True)
class Table:
    """Measured cells by place (condition and set) and method, and the printed ones.

    Parameters
    ----------
    title
        Heading.
    places
        Condition and set of every line.
    measured
        Cells by place and method.
    published
        Printed cells by place and method.
    counterparts
        For a measured method the printed one that it is compared with.
    condition
        What the conditions are, for the heading.
    apart
        Sets that are not what the printed figures are of, and what they are: no difference is
        given.
    input_name
        What the column of the untreated image is headed.
    """

    title: str
    places: Sequence[Place]
    measured: Mapping[Place, Mapping[str, Cell]]
    published: Mapping[Place, Mapping[str, Published]]
    counterparts: Mapping[str, str]
    condition: str = "noise"
    apart: Mapping[str, str] = field(default_factory=dict)
    input_name: str = "noisy"

    @property
    def methods(self) -> list[str]:
        """Measured methods, in order."""
        return list(dict.fromkeys(name for cells in self.measured.values() for name in cells))

    @property
    def printed(self) -> list[str]:
        """Printed methods, in order."""
        return list(dict.fromkeys(name for cells in self.published.values() for name in cells))

    def to_markdown(self) -> str:
        """Write it as Markdown.

        Returns
        -------
        str
            PSNR in dB / SSIM; printed columns are marked, and misprints with a dagger.
        """
        differing = self._differing()
        several = any(condition for condition, _ in self.places)  # pairs have one: as they are
        header = [
            *([self.condition] if several else []),
            *("set", "images"),
            *(self.input_name if name == "noisy" else name for name in self.methods),
            *(f"{name} [paper]" for name in self.printed),
            *(f"{a} - {b} [paper]" for a, b in differing),
        ]
        lines = [header]
        for place in self.places:
            cells, printed = self.measured[place], self.published.get(place, {})
            lines.append(
                [
                    *([place[0]] if several else []),
                    *(place[1], _counts(cells.values(), published_size(_whole_set(place[1])))),
                    *(_score(cells.get(name)) for name in self.methods),
                    *(_score(printed.get(name)) for name in self.printed),
                    *(
                        "" if place[1] in self.apart else _difference(cells.get(a), printed.get(b))
                        for a, b in differing
                    ),
                ]
            )
        return f"# {self.title}\n\n{markdown_table(lines)}\n\n{self._notes()}"

    def to_csv(self) -> str:
        """Write it as CSV, one line per place and method.

        Returns
        -------
        str
            With a header.
        """
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            (
                self.condition,
                "set",
                "source",
                "method",
                "images",
                "psnr",
                "ssim",
                "setting",
                "remark",
            )
        )
        for place in self.places:
            for name, cell in self.measured[place].items():
                writer.writerow(
                    (*place, "measured", name, cell.images, f"{cell.psnr:.4f}",
                     f"{cell.ssim:.5f}", cell.setting, "")
                )  # fmt: skip
            for name, one in self.published.get(place, {}).items():
                writer.writerow((*place, "paper", name, "", one.psnr, one.ssim, "", one.remark))
        return file.getvalue()

    def _differing(self) -> list[tuple[str, str]]:
        return [
            (name, self.counterparts[name])
            for name in self.methods
            if any(
                self.counterparts.get(name) in cells
                for place, cells in self.published.items()
                if place[1] not in self.apart
            )
        ]

    def _notes(self) -> str:
        notes = ["PSNR in dB / SSIM, means over the set."]
        if self.printed:
            notes.append(f"[paper]: {SOURCE}.")
        notes += self._not_comparable()
        notes += [
            f"{name}: {what}." for name, what in self.apart.items() if self._has_printed(name)
        ]
        notes += [
            f"{MISPRINT} {name}, {place[1]}, {place[0]}: {one.remark}."
            for place in self.places
            for name, one in self.published.get(place, {}).items()
            if one.remark
        ]
        return "\n\n".join(notes) + "\n"

    def _has_printed(self, name: str) -> bool:
        return any(cells for place, cells in self.published.items() if place[1] == name)

    def _not_comparable(self) -> list[str]:
        """Say which sets are not those that the printed figures are of."""
        notes = []
        for name in dict.fromkeys(name for _, name in self.places):
            most = max(
                cell.images
                for place, cells in self.measured.items()
                if place[1] == name
                for cell in cells.values()
            )
            expected = published_size(_whole_set(name))
            cropped = name != _whole_set(name)
            if expected is not None and (most != expected or cropped):
                part = "the middle of " if cropped else ""
                notes.append(
                    f"{name}: {part}{most} of {expected} pictures; the printed figures are of all."
                )
        return notes


def make_table(
    title: str,
    rows: Iterable[Row],
    published: Mapping[tuple[str, str, str], Published],
    counterparts: Mapping[str, str],
    condition: str = "noise",
    apart: Mapping[str, str] | None = None,
    input_name: str = "noisy",
) -> Table:
    """Average over the pictures and put the printed figures beside.

    Parameters
    ----------
    title
        Heading.
    rows
        What was measured.
    published
        Printed cells by set, condition and method.
    counterparts
        For a measured method the printed one that it is compared with.
    condition, apart, input_name
        As for `Table`.

    Returns
    -------
    Table
        One line per condition and set.
    """
    groups: dict[Place, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[row.condition, row.set][row.method].append(row)
    beside: dict[Place, dict[str, Published]] = defaultdict(dict)
    for (name, one, method), cell in published.items():
        beside[one, name][method] = cell
    return Table(
        title,
        places=list(groups),
        measured={
            place: {method: _mean(some) for method, some in by_method.items()}
            for place, by_method in groups.items()
        },
        published={place: beside[place[0], _whole_set(place[1])] for place in groups},
        counterparts=counterparts,
        condition=condition,
        apart=apart or {},
        input_name=input_name,
    )


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write `table.md` and `table.csv`.

    Parameters
    ----------
    table
        The table.
    folder
        Where.

    Returns
    -------
    list of pathlib.Path
        The files.
    """
    written = [folder / "table.md", folder / "table.csv"]
    for path, text in zip(written, (table.to_markdown(), table.to_csv()), strict=True):
        write_text(path, text)
    return written


def _mean(rows: Sequence[Row]) -> Cell:
    return Cell(
        sum(row.psnr for row in rows) / len(rows),
        sum(row.ssim for row in rows) / len(rows),
        len(rows),
        rows[0].setting,
    )


def _counts(cells: Iterable[Cell], expected: int | None) -> str:
    """Give how many pictures, of how many; from fewest to most where a method has not seen all."""
    counts = sorted({cell.images for cell in cells})
    text = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    whole = expected is None or counts[0] == counts[-1] == expected
    return text if whole else f"{text} of {expected}"


def _whole_set(name: str) -> str:
    """Give the name without the words that say it was cropped."""
    return name.partition(" (crop")[0]


def _score(cell: Cell | Published | None) -> str:
    if cell is None:
        return ""
    mark = MISPRINT if isinstance(cell, Published) and cell.remark else ""
    return f"{cell.psnr:.2f}/{cell.ssim:.3f}{mark}"


def _difference(ours: Cell | None, theirs: Published | None) -> str:
    if ours is None or theirs is None:
        return ""
    mark = MISPRINT if theirs.remark else ""
    return f"{ours.psnr - theirs.psnr:+.2f}/{ours.ssim - theirs.ssim:+.3f}{mark}"
