"""Find the blur, noise, compression and tone that give synthetic clips the figures of film. Samples nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int8

from synthaug.compositing.figures import Figures, Region, measure, measure_blocks, to_luma
from synthaug.compositing.look import apply_look
from synthaug.compositing.sensor import apply_sensor, tone_curve
from synthaug.sensors import Unrecorded
from synthaug.sensors.fitting.film import FilmLook
from synthaug.structures import Plain, Values

Noise = Int8[np.ndarray, " place"]

STRENGTHS = (-2.0, -1.2, -0.8, -0.5, -0.35, 0.0, 0.4, 1.0, 2.0, 3.5)
"""Tried in turn: below 0 a blur of that many pixels, above 0 a sharpening of that strength."""
NOISES = (0.0, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064)
"""Noise levels tried, as `apply_sensor` has them."""
QUALITIES = (20, 30, 45, 60, 75, 85, 95)
"""JPEG qualities tried."""
MIN_SCALE = 0.75
"""Pixels of a clip for one of its film below which blocks are no longer blocks."""
MIN_BLOCKS = 0.05
"""What `measure_blocks` finds of film that was compressed visibly."""
MAX_STOPS, GAMMAS, MAX_GAIN = 1.0, (0.8, 1.4), 1.3
"""How far tone may go: stops, exponents, and gains of red and blue."""
_GAMMA_OF_DISPLAYS = 2.2
_CONTRAST = 0.25
"""How much a place's contrast counts for its level."""
_EVEN = 1e-3
"""Level or contrast of what is black or even, so that ratios are known."""
_FRAMES = 3
"""Frames of a trial that are looked at."""


@dataclass(frozen=True)
class Target:
    """What clips of one film should measure.

    Attributes:
        people: Sharpness around the people; None if unknown.
        place: Sharpness of the rest; None if unknown.
        noise: Levels of luma.
        quality: JPEG quality; 0 for none.
        rate: Frames of the film for one of a clip, at most 1.
    """

    people: float | None
    place: float | None
    noise: float
    quality: int
    rate: float


def fit_looks(
    films: Sequence[FilmLook],
    trials: Sequence[Unrecorded],
    *,
    fps: float,
    spread: float,
    tone: float,
    noise: Noise,
) -> tuple[Values, ...]:
    """The look of each film, as values for `apply_look` without the seed.

    What rendering blurs by itself is measured and left out of what is added.

    Args:
        films: What was measured of the films.
        trials: Synthetic clips before their sensor.
        fps: Frames per second of the clips.
        spread: How much of a film's distance from the median of its camera is kept: clips of one camera differ by what
            they show as well.
        tone: How far people's tone follows the film's: clothes differ, too.
        noise: Stored noise.
    """
    if not films or not trials:
        return ()
    trials = [_thin(trial) for trial in trials]
    targets = [_aim(film, films, trials, fps, spread) for film in films]
    tones = _fit_tones(films, trials, tone)
    # A tone curve bends edges too: sharpness is tried under the tone of the film in the middle.
    middle = sorted(range(len(films)), key=lambda place: films[place].figures.whole.level)[len(films) // 2]
    base: Values = {**tones[middle], "quality": int(np.median([target.quality for target in targets]))}
    place = _tabulate(trials, STRENGTHS, _read_place(base, noise))
    base = _sharpen(base, {"place": _invert(place, _median([target.place for target in targets]))})
    own = _tabulate(trials, STRENGTHS, _read_people(base, noise))
    noises = _tabulate(trials, NOISES, _read_noise(base, noise))
    looks: list[Values] = []
    for toned, target in zip(tones, targets, strict=True):
        people = _invert(own, target.people)
        look = _sharpen(toned, {"people": people, "guest": people, "place": _invert(place, target.place)})
        level = round(_invert(noises, target.noise), 5)
        looks.append({**look, "noise": level, "quality": target.quality, "rate": round(target.rate, 4)})
    return tuple(looks)


def _sharpen(values: Values, strengths: Mapping[str, float]) -> Values:
    """The values with parts blurred or sharpened by these strengths."""
    parts: Values = dict(values)
    for name, strength in strengths.items():
        part = values.get(name, {})
        assert isinstance(part, dict), "parts are mappings"
        parts[name] = {**part, **describe_strength(strength)}
    return parts


def describe_strength(strength: float) -> Values:
    """A strength of STRENGTHS' kind as values of a recipe."""
    return {"blur": round(max(-strength, 0.0), 4), "sharpen": round(max(strength, 0.0), 4)}


def _aim(film: FilmLook, films: Sequence[FilmLook], trials: Sequence[Unrecorded], fps: float, spread: float) -> Target:
    """What clips of a film should measure: between its own figures and the median of its camera."""
    own = [other for other in films if other.camera == film.camera]

    def blend(read: Callable[[Figures], float | None]) -> float | None:
        # A median over the camera stands in where this film does not tell, and one over the set where no other does.
        middle = _median([read(other.figures) for other in own])
        middle = _median([read(other.figures) for other in films]) if middle is None else middle
        mine = read(film.figures)
        if middle is None or mine is None or min(middle, mine) <= 0:
            return middle
        return float(middle * (mine / middle) ** spread)

    visible = film.scale > MIN_SCALE and film.blocks > MIN_BLOCKS
    return Target(
        people=blend(lambda figures: None if figures.people is None else figures.people.sharpness),
        place=blend(lambda figures: (figures.rest or figures.whole).sharpness),
        noise=blend(lambda figures: figures.noise) or 0.0,
        quality=_find_quality(film.blocks, trials) if visible else 0,
        rate=min(1.0, film.fps / fps),
    )


def _find_quality(blocks: float, trials: Sequence[Unrecorded]) -> int:
    """The JPEG quality at which rendered clips show blocks as strongly."""
    bank = np.zeros(1024, np.int8)
    tried = [
        float(np.median([measure_blocks(to_luma(apply_sensor(trial.video[:2], {"quality": q}, noise=bank)))
                         for trial in trials]))
        for q in QUALITIES
    ]  # fmt: skip
    falling = np.minimum.accumulate(tried)[::-1]
    return round(float(np.interp(blocks, falling, QUALITIES[::-1])))


_Table = tuple[Float[np.ndarray, " trial"], Float[np.ndarray, " trial"]]
"""What was measured, rising, and the setting for it."""


_Reader = Callable[[Unrecorded, float], float | None]
"""What is measured of a clip under a setting; None where it does not tell."""


def _read_place(base: Values, noise: Noise) -> _Reader:
    """Sharpness of rendered places by the strength of their blur or sharpening."""

    def read(trial: Unrecorded, strength: float) -> float | None:
        if trial.filmed:
            return None
        values = _sharpen(base, {"place": strength})
        figures = measure(apply_look(trial.video, trial.people, "", values, noise=noise), trial.near)
        return (figures.rest or figures.whole).sharpness

    return read


def _read_people(base: Values, noise: Noise) -> _Reader:
    """Sharpness around people by the strength of their blur or sharpening.

    People before rendered places and over film are read together: they are rendered alike, and each alone are too few
    clips, whose clothes then decide.
    """

    def read(trial: Unrecorded, strength: float) -> float | None:
        values = _sharpen(base, {"guest" if trial.filmed else "people": strength})
        video = apply_look(trial.video, trial.people, trial.filmed, values, noise=noise)
        people = measure(video, trial.near).people
        return None if people is None else people.sharpness

    return read


def _read_noise(base: Values, noise: Noise) -> _Reader:
    """Measured noise by the level asked for; frames of film have theirs already."""

    def read(trial: Unrecorded, level: float) -> float | None:
        if trial.filmed == "moving":
            return None
        values: Values = {**base, "noise": level, "seed": 1}
        return measure(apply_look(trial.video, trial.people, trial.filmed, values, noise=noise)).noise

    return read


def _tabulate(trials: Sequence[Unrecorded], settings: Sequence[float], read: _Reader) -> _Table | None:
    """The median of what is read over the trials, by setting; None if nothing can be."""
    medians = [_median([read(trial, setting) for trial in trials]) for setting in settings]
    known = [(found, setting) for found, setting in zip(medians, settings, strict=True) if found is not None]
    if not known:
        return None
    found, kept = np.array(known).T
    return np.maximum.accumulate(found), kept


def _invert(table: _Table | None, wanted: float | None) -> float:
    """The setting for what is wanted, as far as the table reaches; 0 if either is unknown."""
    return 0.0 if table is None or wanted is None else float(np.interp(wanted, *table))


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _thin(trial: Unrecorded) -> Unrecorded:
    """The trial's first frames, which tell enough."""
    return Unrecorded(trial.video[:_FRAMES], trial.people[:_FRAMES], trial.near[:_FRAMES], trial.filmed)


@dataclass(frozen=True, eq=False)
class _Toner:
    """Pixels of some clips and what was measured of them, to be brought to a film's tone."""

    regions: tuple[Region, ...]
    luma: Float[np.ndarray, " pixel"]

    @staticmethod
    def of(trials: Sequence[Unrecorded], *, people: bool) -> "_Toner":
        """Of the people of these clips, or of their places."""
        found = [measure(trial.video, trial.near) for trial in trials]
        regions = [one.people if people else one.rest for one in found]
        luma = [(to_luma(trial.video) / 255)[trial.near == people][::17] for trial in trials]
        return _Toner(tuple(one for one in regions if one is not None), np.concatenate([np.zeros(0), *luma]))

    def usual(self) -> Region:
        """The medians of the clips."""
        return _usual(self.regions)

    def fit(self, level: float, contrast: float | None = None) -> Values:
        """Exposure and gamma that bring the clips nearest to level and contrast; without a contrast exposure alone."""
        if not self.regions or self.luma.size == 0:
            return {}
        have = self.usual()
        aim = (max(level, _EVEN), max(have.contrast if contrast is None else contrast, _EVEN))
        weights = (1.0, 0.0) if contrast is None else (1.0, _CONTRAST)
        bias = _ratio(float(self.luma.mean()), have.level)
        exposure, gamma = _search_curve(self.luma, bias, aim, have.contrast, weights=weights)
        return {"exposure": round(exposure, 4), "gamma": round(gamma, 4)}


def _fit_tones(films: Sequence[FilmLook], trials: Sequence[Unrecorded], share: float) -> list[Values]:
    """The tone of people, guests and places for each film.

    Places take on a film's level, contrast and cast; people a share of the filmed people's level, and of the place's
    cast, which is that of the light: contrast and colours of people are those of their clothes. People over film are
    darker or brighter than their surroundings as they are in film, alike for all looks: a place of film has the light
    that it has.
    """
    rendered, over_film = ([trial for trial in trials if bool(trial.filmed) == filmed] for filmed in (False, True))
    people, places = _Toner.of(rendered, people=True), _Toner.of(rendered, people=False)
    guest = _fit_guest(films, over_film, share)
    tones: list[Values] = []
    for film in films:
        rest, own = film.figures.rest or film.figures.whole, film.figures.people
        parts: dict[str, Values] = {"people": {}, "guest": guest, "place": {}}
        if places.regions:
            here = places.usual()
            parts["place"] = {**places.fit(rest.level, rest.contrast), "balance": _balance(rest.cast, here.cast, 1.0)}
            parts["people"] = {"balance": _balance(rest.cast, here.cast, share)}
        if own is not None and people.regions:
            have = people.usual()
            parts["people"] |= people.fit(have.level * _ratio(own.level, have.level) ** share)
        tones.append({**parts})
    return tones


def _balance(wanted: tuple[float, float], have: tuple[float, float], share: float) -> list[Plain]:
    """Gains of linear red, green and blue that turn one cast into a share of the other, and do not brighten."""
    ratios = [max(1 + there, 0.2) / max(1 + here, 0.2) for there, here in zip(wanted, have, strict=True)]
    red, blue = (float(np.clip(ratio ** (_GAMMA_OF_DISPLAYS * share), 1 / MAX_GAIN, MAX_GAIN)) for ratio in ratios)
    mean = 0.299 * red + 0.587 + 0.114 * blue
    return [round(gain / mean, 4) for gain in (red, 1.0, blue)]


def _ratio(level: float, other: float) -> float:
    """One level for another; what is black counts as almost black."""
    return max(level, _EVEN) / max(other, _EVEN)


def _usual(regions: Sequence[Region]) -> Region:
    """The median of each figure."""
    low, middle, high = np.median([one.power for one in regions], axis=0).tolist()
    red, blue = np.median([one.cast for one in regions], axis=0).tolist()
    level, contrast = (float(np.median([getattr(one, name) for one in regions])) for name in ("level", "contrast"))
    return Region((low, middle, high), level, contrast, (red, blue))


def _fit_guest(films: Sequence[FilmLook], trials: Sequence[Unrecorded], share: float) -> Values:
    """The tone of people over film: a share of how people differ from their surroundings in film."""
    pairs = [(film.figures.people, film.figures.rest) for film in films]
    both = [(people, rest) for people, rest in pairs if people is not None and rest is not None]
    guests, places = _Toner.of(trials, people=True), _Toner.of(trials, people=False)
    if not both or not guests.regions or not places.regions:
        return {}
    have, around = guests.usual().level, places.usual().level
    wanted = around * float(np.median([_ratio(people.level, rest.level) for people, rest in both]))
    return guests.fit(have * _ratio(wanted, have) ** share)


def _search_curve(
    luma: Float[np.ndarray, " pixel"],
    bias: float,
    aim: tuple[float, float],
    contrast: float,
    *,
    weights: tuple[float, float],
) -> tuple[float, float]:
    """Stops and exponent that bring pixels nearest to a level and a contrast, by trying a grid.

    Args:
        luma: The pixels of all clips.
        bias: Their mean for one of the clips' median level.
        aim: Level and contrast of a clip.
        contrast: The clips' median contrast; that of all pixels is larger, since clips differ.
        weights: How much level and contrast count; a contrast that does not count leaves the exponent at 1.
    """
    steps = np.round(luma * 255).astype(int)
    counts = np.bincount(steps, minlength=256) / len(steps)
    spread = max(float(luma.std()), _EVEN)
    best = (np.inf, 0.0, 1.0)
    for exposure in np.linspace(-MAX_STOPS, MAX_STOPS, 41):
        for gamma in np.linspace(*GAMMAS, 25) if weights[1] > 0 else (1.0,):
            curve = tone_curve({"exposure": float(exposure), "gamma": float(gamma)})[1] / 255
            mean = float(counts @ curve)
            deviation = float(np.sqrt(max(counts @ curve**2 - mean**2, 1e-9)))
            level, strength = max(mean / bias, _EVEN), deviation / spread * max(contrast, _EVEN)
            # A little reluctance: of equal curves the plainest.
            error = weights[0] * np.log(level / aim[0]) ** 2 + weights[1] * np.log(strength / aim[1]) ** 2
            error += 0.01 * (exposure**2 + np.log(gamma) ** 2)
            best = min(best, (float(error), float(exposure), float(gamma)))
    return best[1], best[2]
