"""The parts of a figure, in pixels: frames, lines, marks and labels, which the template writes as SVG."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

LETTER = 6.6
"""Width of a letter in pixels."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Frame:
    """The size of a figure in pixels, and of the axes in it. labels: whether names are beside the lines."""

    width: int
    height: int
    left: int = 62
    right: int = 14
    top: int = 22
    bottom: int = 44
    labels: bool = False

    @property
    def end(self) -> int:
        """The right end of the axes, in pixels."""
        return self.width - self.right

    @property
    def floor(self) -> int:
        """The lower end of the axes, in pixels."""
        return self.height - self.bottom

    def place(self, x: float, y: float) -> Point:
        """Returns the pixel of a point whose x and y are shares of the axes."""
        across = self.left + x * (self.end - self.left)
        return round(across, 1), round(self.floor - y * (self.floor - self.top), 1)


WIDE = Frame(860, 380, right=270, labels=True)
WHOLE = Frame(860, 380)
"""The wide frame, with labels inside the axes."""

NARROW = Frame(344, 300, left=56, right=26)
SMALL = Frame(330, 150, left=34, right=10, top=8, bottom=34)


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: its pixel, and its text."""

    at: float
    text: str


@dataclass(frozen=True)
class Label:
    """Text that begins at a pixel. title: the whole text, if it was shortened."""

    x: float
    y: float
    text: str
    title: str = ""
    series: int | None = None
    natural: float = 0
    hidden: bool = False


@dataclass(frozen=True)
class Line:
    """One series. style: its colour and shape, from 0; marks: paths of the marks, by kind; band: its intervals."""

    style: int
    points: str
    marks: Mapping[str, str] = field(default_factory=dict)
    band: str = ""
    dashed: bool = False
    series: int | None = None
    hidden: bool = False


@dataclass(frozen=True)
class Chart:
    """A figure. guides: further lines, as points; texts: labels in it."""

    frame: Frame
    title: str
    x_label: str
    y_label: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    lines: Sequence[Line]
    guides: Sequence[str] = ()
    texts: Sequence[Label] = ()


def mark_path(style: int, at: Point, size: float = 4) -> str:
    """Returns the path of a mark, by style: circle, square, triangle, diamond, triangle upside down, or hourglass."""
    x, y = at
    match style % 6:
        case 0:
            return f"M{x - size:.4g} {y:.4g}a{size} {size} 0 1 0 {2 * size} 0a{size} {size} 0 1 0 {-2 * size} 0z"
        case 1:
            return f"M{x - size:.4g} {y - size:.4g}h{2 * size}v{2 * size}h{-2 * size}z"
        case 2:
            return f"M{x:.4g} {y - size:.4g}l{size} {2 * size}h{-2 * size}z"
        case 3:
            return f"M{x:.4g} {y - 1.3 * size:.4g}l{size} {1.3 * size}l{-size} {1.3 * size}l{-size} {-1.3 * size}z"
        case 4:
            return f"M{x:.4g} {y + size:.4g}l{size} {-2 * size}h{-2 * size}z"
        case _:
            return f"M{x - size:.4g} {y - size:.4g}h{2 * size}l{-2 * size} {2 * size}h{2 * size}z"


def join_points(points: Iterable[Point]) -> str:
    """Returns points in SVG's notation."""
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def spread_labels(heights: Sequence[float], distance: float, most: float) -> list[float]:
    """Returns heights of labels at least `distance` apart and at most `most`, each near its own, in the given order."""
    placed = [0.0] * len(heights)
    above = float("-inf")
    for number in sorted(range(len(heights)), key=heights.__getitem__):
        placed[number] = above = max(heights[number], above + distance)
    over = max(placed, default=0) - most
    for number in sorted(range(len(heights)), key=placed.__getitem__, reverse=True):
        if over <= 0:
            break
        placed[number] = min(placed[number], most)
        most = placed[number] - distance
    return placed


def place_labels(frame: Frame, names: Mapping[Point, tuple[str, str]]) -> list[Label]:
    """Returns labels of marks, each above its mark, below it, or to a side; a label without a free place is left out.

    Args:
        frame: The frame that contains the labels.
        names: Pixel of a mark -> its text, and the whole text.
    """
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in names]
    labels = []
    for (x, y), (text, title) in names.items():
        width = len(text) * LETTER
        places = [(x - width / 2, y - 10), (x - width / 2, y + 19), (x + 9, y + 4), (x - 9 - width, y + 4)]
        for left, base in places:
            box = (left, base - 10, left + width, base + 2)
            inside = frame.left < left and left + width < frame.width and box[1] > 0 and base < frame.floor
            if inside and not any(boxes_overlap(box, other) for other in taken):
                taken.append(box)
                labels.append(Label(round(left, 1), round(base, 1), text, title))
                break
    return labels


def boxes_overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Returns whether two boxes (left, top, right, bottom) overlap."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
