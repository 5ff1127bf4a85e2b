"""A made-up abdomen in HU, for a first training without data and for tests.

Supine and seen from the feet, as radiologists see it: x grows to the patient's left, y to the back,
z to the head, all in mm from the middle. Solids are painted one over the other, outermost first;
smooth random fields bend all of them and give tissue its grain. Nothing here is any real patient.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from ldct_clipdn.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Point = tuple[float, float, float]

__all__ = ["abdomen_phantom", "spacing_mm"]

FIELD_MM: Final = 380.0
"""Width of the reconstructed field."""

STEP_MM: Final = 3.0
"""Distance of neighbouring slices."""

AIR: Final = -1000.0
FAT: Final = -106.0
MUSCLE: Final = 58.0
EDGE_MM: Final = 1.1
"""Width over which one tissue turns into the next: the blur of a soft kernel."""

BEND_MM: Final = 3.3
"""Standard deviation of the random displacement."""

LONG: Final = 1e4
"""Half length in mm of what runs through all slices."""

Six = tuple[float, float, float, float, float, float]

ORGANS: Final[dict[str, tuple[float, float, Six]]] = {
    "aorta": (165, 1, (9, 12, 0, 10, 10, LONG)),
    "vena cava": (130, 1, (-22, 9, 0, 13, 9, LONG)),
    "psoas right": (MUSCLE, 4, (-38, 40, -20, 15, 17, 80)),
    "psoas left": (MUSCLE, 4, (38, 40, -20, 15, 17, 80)),
    "pancreas": (98, 6, (14, -12, 6, 42, 9, 16)),
    "spleen": (118, 1.5, (98, 24, 32, 22, 40, 58)),
    "liver": (106, 2.5, (-72, -4, 22, 60, 66, 78)),
    "liver left": (106, 2.5, (-18, -50, 30, 56, 25, 48)),
}
"""HU (of what takes up contrast medium, on average), grain in HU, centre and half axes in mm."""

SPINE: Final = (
    (0, 76, 3.2, 12, LONG),
    (-33, 56, 17, 4.5, 9),
    (33, 56, 17, 4.5, 9),
    (-11, 64, 13, 4.5, LONG),
    (11, 64, 13, 4.5, LONG),
    (-15, 50, 5, 8, 12),
    (15, 50, 5, 8, 12),
)
"""Processes and arch of a vertebra: x and y of the centre, and half axes, in mm."""


def abdomen_phantom(slices: int = 8, size: int = 512, seed: int = 0) -> NDArray[np.float32]:
    """Make a noise-free abdomen with contrast medium in its portal phase.

    Parameters
    ----------
    slices
        Number of slices, 3 mm apart, the middle one at the level of the kidneys.
    size
        Rows and columns; `spacing_mm(size)` gives the size of the voxels.
    seed
        Another seed is another patient.

    Returns
    -------
    numpy.ndarray
        float32 [slices, size, size] in HU, from the feet to the head.

    Raises
    ------
    ConfigError
        When `slices` or `size` is below 1, or `seed` below 0.
    """
    if slices < 1 or size < 1 or seed < 0:
        raise ConfigError(
            f"no phantom has {slices} slices of {size} x {size} pixels and seed {seed}",
            remedy="Give at least 1 slice, 1 pixel and a seed of 0 or more",
        )
    patient = _Patient(seed)
    heights = (np.arange(slices) - (slices - 1) / 2) * STEP_MM
    return np.stack([patient.slice_at(float(z), size) for z in heights])


def spacing_mm(size: int) -> tuple[float, float, float]:
    """Say how far the voxels of a phantom lie apart.

    Parameters
    ----------
    size
        Rows and columns.

    Returns
    -------
    tuple of float
        Distance of slices, rows and columns in mm.
    """
    return STEP_MM, FIELD_MM / size, FIELD_MM / size


@dataclass(frozen=True)
class _Solid:
    """An ellipsoid, turned about z by `angle` (radians)."""

    centre: Point
    axes: Point
    angle: float = 0.0

    def distance(self, x: Plane, y: Plane, z: float) -> Plane:
        """Give the distance to the surface in mm, to first order; negative inside."""
        dx, dy, dz = x - self.centre[0], y - self.centre[1], z - self.centre[2]
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        a, b, c = self.axes
        u, v, w = (cosine * dx + sine * dy) / a, (cosine * dy - sine * dx) / b, dz / c
        radius = np.sqrt(u**2 + v**2 + w**2)
        slope = np.sqrt((u / a) ** 2 + (v / b) ** 2 + (w / c) ** 2)
        return np.asarray(radius * (radius - 1) / np.maximum(slope, 1e-6), dtype=np.float32)

    @property
    def reach(self) -> float:
        """Largest distance from the centre, in the plane."""
        return max(self.axes[:2])


@dataclass(frozen=True)
class _Tube:
    """A vessel: a straight piece with round ends."""

    start: Point
    end: Point
    radius: float

    def distance(self, x: Plane, y: Plane, z: float) -> Plane:
        """Give the distance to the surface in mm; negative inside."""
        along = np.subtract(self.end, self.start)
        to = (x - self.start[0], y - self.start[1], z - self.start[2])
        share = sum(t * a for t, a in zip(to, along, strict=True)) / float(along @ along)
        share = np.clip(share, 0, 1)
        gap = sum((t - share * a) ** 2 for t, a in zip(to, along, strict=True))
        return np.asarray(np.sqrt(gap) - self.radius, dtype=np.float32)

    @property
    def centre(self) -> Point:
        """Middle of the piece."""
        x, y, z = np.add(self.start, self.end) / 2
        return x, y, z

    @property
    def reach(self) -> float:
        """Largest distance from the middle, in the plane."""
        return self.radius + math.dist(self.start[:2], self.end[:2]) / 2


class _Field:
    """Smooth random numbers in space, standard deviation about 1: cubic splines on random knots."""

    def __init__(self, seed: tuple[int, int], knot_mm: float) -> None:
        knots = math.ceil(FIELD_MM / knot_mm) + 5
        self.knot_mm = knot_mm
        self.coefficients = np.random.default_rng(seed).normal(0, 3, (16, knots, knots))

    def at(self, axis: Plane, z: float) -> Plane:
        """Give the values of one slice whose rows and columns lie at `axis`."""
        depth, knots, _ = self.coefficients.shape
        layers = np.arange(-2, 3) + round(z / self.knot_mm)
        heights = _spline(np.array(layers - z / self.knot_mm))
        layer = np.tensordot(heights, self.coefficients[layers % depth], 1)
        basis = _spline((axis / self.knot_mm)[:, None] - np.arange(knots) + knots // 2)
        return np.asarray(basis @ layer @ basis.T, dtype=np.float32)


def _spline(t: NDArray[np.floating]) -> NDArray[np.floating]:
    """Evaluate the cubic B-spline."""
    t = np.abs(t)
    inner = 2 / 3 - t**2 + t**3 / 2
    return np.where(t < 1, inner, np.maximum(2 - t, 0) ** 3 / 6)


class _Canvas:
    """One slice that is being painted."""

    def __init__(self, patient: _Patient, z: float, size: int) -> None:
        _, _, pixel = spacing_mm(size)
        self.edge = max(EDGE_MM, pixel)
        self.axis = ((np.arange(size) - (size - 1) / 2) * pixel).astype(np.float32)
        self.x = self.axis[None, :] + BEND_MM * patient.bend_x.at(self.axis, z)
        self.y = self.axis[:, None] + BEND_MM * patient.bend_y.at(self.axis, z)
        self.z = z
        self.grain = 0.5 * patient.coarse.at(self.axis, z) + patient.fine.at(self.axis, z)
        self.image = np.full((size, size), AIR, dtype=np.float32)

    def cover(self, *solids: _Solid | _Tube, grow: float = 0.0) -> Plane:
        """Say how much of each pixel the solids fill, 0 to 1."""
        filled = np.zeros_like(self.image)
        for solid in solids:
            box = self._box(solid, grow)
            distance = solid.distance(self.x[box], self.y[box], self.z) - grow
            np.maximum(filled[box], (0.5 - distance / self.edge).clip(0, 1), out=filled[box])
        return filled

    def paint(
        self,
        hu: float,
        *solids: _Solid | _Tube,
        grow: float = 0.0,
        grain: float = 2.0,
        within: Plane | None = None,
    ) -> None:
        """Paint solids, larger by `grow` mm."""
        filled = self.cover(*solids, grow=grow)
        filled = filled if within is None else filled * within
        self.image += filled * (hu + grain * self.grain - self.image)

    def _box(self, solid: _Solid | _Tube, grow: float) -> tuple[slice, slice]:
        """Find the pixels that a solid can reach, however bent."""
        reach = solid.reach + grow + 5 * BEND_MM + self.edge
        across, down = (
            slice(*np.searchsorted(self.axis, (middle - reach, middle + reach)))
            for middle in solid.centre[:2]
        )
        return down, across


class _Patient:
    """One seed's anatomy."""

    def __init__(self, seed: int) -> None:
        self.bend_x, self.bend_y = _Field((seed, 1), 70.0), _Field((seed, 2), 70.0)
        self.coarse, self.fine = _Field((seed, 3), 14.0), _Field((seed, 4), 5.0)
        self.rng = np.random.default_rng((seed, 0))
        self.girth = self.rng.uniform(0.88, 1.04)
        self.fat_mm = self.rng.uniform(10, 26)
        self.contrast = self.rng.uniform(0.85, 1.25)
        self.organs = {name: self._place(*six) for name, (_, _, six) in ORGANS.items()}
        self.kidneys = (self._place(-64, 32, -16, 26, 30, 52), self._place(64, 30, -6, 26, 30, 52))
        self.gall_bladder = self._place(-46, -46, -14, 14, 20, 24)
        self.stomach = self._place(52, -42, 36, 46, 27, 46)
        self.colon = (
            self._place(-94, 34, -50, 18, 18, 46),
            self._place(104, 30, -30, 15, 15, 50),
            self._place(20, -62, -34, 70, 13, 20),
        )
        self.gut = tuple(self._loop(x, y) for x in range(-70, 100, 27) for y in range(-62, 15, 25))
        self.vessels = (
            *self._branch((-40, -8, 14), 5.5, 40, 4),
            *self._branch((-52, 14, 45), 5.0, 45, 4),
            *self._branch((-70, -10, -5), 4.5, 40, 4),
        )
        self.mesentery = tuple(self._branch((8, 8, 0), 3.2, 38, 5))
        self.lesions = tuple(self._lesion() for _ in range(10))

    def slice_at(self, z: float, size: int) -> Plane:
        """Paint one slice."""
        canvas = _Canvas(self, z, size)
        wall = self._paint_wall(canvas)
        cavity = canvas.cover(wall, grow=-12)
        canvas.paint(125 * self.contrast, *self.mesentery, within=cavity)
        for loop in self.gut:
            self._paint_bowel(canvas, loop, cavity, 24, 2)
        for loop in self.colon:
            self._paint_bowel(canvas, loop, cavity, -10, 40)
        self._paint_bowel(canvas, self.stomach, cavity, 32, 6)
        self._paint_organs(canvas, cavity)
        self._paint_spine(canvas)
        _paint_table(canvas, wall.axes[1] + 0.8 * self.fat_mm)
        return canvas.image

    def _place(self, x: float, y: float, z: float, a: float, b: float, c: float) -> _Solid:
        """Place an organ, with this patient's deviations."""
        shift = self.rng.normal(0, 3, 3)
        scale = self.girth * self.rng.normal(1, 0.06, 3).clip(0.85, 1.15)
        centre = (self.girth * x + shift[0], self.girth * y + shift[1], z + 2 * shift[2])
        return _Solid(centre, (a * scale[0], b * scale[1], c * scale[2]), self.rng.normal(0, 0.12))

    def _loop(self, x: float, y: float) -> _Solid:
        """Place a piece of small bowel."""
        z, a, b = self.rng.uniform((-60, 9, 9), (30, 15, 15))
        return self._place(x, y, z, a, b, 35)

    def _branch(self, start: Point, radius: float, length: float, depth: int) -> Iterator[_Tube]:
        """Grow a tree of vessels."""
        for _ in range(3 if depth > 2 else 2):
            way = self.rng.normal(0, 1, 3) * (1, 1, 0.7)
            end = np.add(start, way / np.linalg.norm(way) * length * self.rng.uniform(0.6, 1.1))
            tip = (float(end[0]), float(end[1]), float(end[2]))
            yield _Tube(start, tip, radius * 0.7)
            if depth > 1:
                yield from self._branch(tip, radius * 0.72, length * 0.78, depth - 1)

    def _lesion(self) -> tuple[_Solid, float]:
        """Make a round lesion in the right lobe, and its HU beside the liver's."""
        liver = self.organs["liver"]
        x, y, z = (
            c + self.rng.uniform(-0.6, 0.6) * a
            for c, a in zip(liver.centre, liver.axes, strict=True)
        )
        radius = self.rng.uniform(3, 13)
        size = (radius, radius * self.rng.uniform(0.8, 1.2), radius)
        return _Solid((x, y, z), size), self.rng.choice([-14.0, -22.0, -35.0, -90.0, 30.0])

    def _paint_wall(self, canvas: _Canvas) -> _Solid:
        """Paint skin, fat, muscle and ribs; gives the outside of the muscle."""
        wall = _Solid((0, -3, 0), (138 * self.girth, 92 * self.girth, LONG))
        a, b, c = wall.axes
        skin = replace(wall, axes=(a + 1.25 * self.fat_mm, b + 0.8 * self.fat_mm, c))
        canvas.paint(30, skin)
        canvas.paint(FAT, skin, grow=-2, grain=5)
        for hu, depth in ((MUSCLE, 0), (-30, 3.5), (MUSCLE, 4.7), (FAT, 11)):
            canvas.paint(hu, wall, grow=-depth, grain=5)
        ribs = [self._rib(wall, k, canvas.z) for k in range(10)]
        canvas.paint(620, *ribs)
        canvas.paint(190, *ribs, grow=-1.8, grain=20)
        return wall

    def _rib(self, wall: _Solid, k: int, z: float) -> _Solid:
        """Cut one of the ribs, which slope: they travel round the wall from slice to slice."""
        angle = -0.55 + 0.42 * (k // 2) + 0.012 * z
        angle = angle if k % 2 else math.pi - angle
        a, b = wall.axes[0] - 7, wall.axes[1] - 7
        centre = (a * math.cos(angle), b * math.sin(angle) + wall.centre[1], z)
        tangent = math.atan2(b * math.cos(angle), -a * math.sin(angle))
        return _Solid(centre, (9, 4, 9), tangent)

    def _paint_bowel(
        self, canvas: _Canvas, loop: _Solid, cavity: Plane, content: float, grain: float
    ) -> None:
        """Paint a wall, what is in it, and gas above a level, as far as this loop holds gas."""
        canvas.paint(78 * self.contrast, loop, within=cavity)
        canvas.paint(content, loop, grow=-2.5, grain=grain, within=cavity)
        fill = math.sin(12.9 * loop.centre[0] + 78.2 * loop.centre[1])
        level = loop.centre[1] - 0.9 * fill * loop.axes[1]
        above = (0.5 + (level - canvas.y) / canvas.edge).clip(0, 1)
        if fill > 0.2:
            canvas.paint(AIR + 30, loop, grow=-2.5, grain=0, within=cavity * above)

    def _paint_organs(self, canvas: _Canvas, cavity: Plane) -> None:
        for name, solid in self.organs.items():
            hu, grain, _ = ORGANS[name]
            hu *= self.contrast if hu > MUSCLE else 1
            canvas.paint(hu, solid, grain=grain, within=cavity)
        liver = cavity * canvas.cover(self.organs["liver"], self.organs["liver left"])
        base = ORGANS["liver"][0] * self.contrast
        canvas.paint(base + 52, *self.vessels, within=liver)
        for lesion, difference in self.lesions:
            canvas.paint(base + difference, lesion, within=liver)
        canvas.paint(9, self.gall_bladder, within=cavity)
        for kidney in self.kidneys:
            self._paint_kidney(canvas, kidney, cavity)

    def _paint_kidney(self, canvas: _Canvas, kidney: _Solid, cavity: Plane) -> None:
        """Paint cortex, medulla, and the sinus with its fat, which opens towards the spine."""
        canvas.paint(172 * self.contrast, kidney, within=cavity)
        canvas.paint(138 * self.contrast, kidney, grow=-6, grain=12, within=cavity)
        x, y, z = kidney.centre
        x -= math.copysign(0.55 * kidney.axes[0], x)
        sinus = _Solid((x, y - 3, z), (kidney.axes[0] * 0.62, 8, 26), kidney.angle)
        canvas.paint(FAT + 20, sinus, grain=15, within=cavity)
        canvas.paint(150 * self.contrast, replace(sinus, axes=(sinus.axes[0], 3, 12)))

    def _paint_spine(self, canvas: _Canvas) -> None:
        for side in (-1, 1):
            back = _Solid((side * 36 * self.girth, 67 * self.girth, 0), (32, 15, LONG), side * 0.12)
            canvas.paint(FAT, back, grow=2)
            canvas.paint(MUSCLE - 4, back, grain=9)
        level = (canvas.z + 11) % 36 - 18
        disc = min(max((4 - abs(level)) / 2 + 0.5, 0), 1)
        vertebra = _Solid((0, 35, 0), (23, 17, LONG))
        bones = [_Solid((x, y, canvas.z), (a, b, c)) for x, y, a, b, c in SPINE]
        canvas.paint(560 * (1 - disc) + 95 * disc, vertebra)
        canvas.paint(180 * (1 - disc) + 90 * disc, vertebra, grow=-2, grain=22 * (1 - disc) + 3)
        canvas.paint(640, *bones)
        canvas.paint(240, *bones, grow=-1.7, grain=25)
        canvas.paint(28, _Solid((0, 57, 0), (9.5, 7.5, LONG)))


def _paint_table(canvas: _Canvas, back: float) -> None:
    """Paint a curved couch, two carbon shells on foam, behind the patient; it does not bend."""
    depth = canvas.axis[:, None] - (back + 2 - canvas.axis[None, :] ** 2 / 900)
    across = (0.5 + (205 - np.abs(canvas.axis)) / canvas.edge).clip(0, 1)
    for hu, middle, thick in ((-915, 13, 24), (-70, 1, 2), (-70, 25, 2)):
        layer = (0.5 + (thick / 2 - np.abs(depth - middle)) / canvas.edge).clip(0, 1) * across
        canvas.image += layer * (canvas.image < -500) * (hu - canvas.image)
