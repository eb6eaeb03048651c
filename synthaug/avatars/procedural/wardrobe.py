"""Sample who a person is and what they wear, from the pools of a family.

Families share bodies and skin. Their garments, patterns, colours of cloth, hair styles and hair colours come from pools
without a common member, so that a recognizer that learned the clothes of one family learned nothing about the other's.
"""

import colorsys
from dataclasses import dataclass

import numpy as np

from synthaug.avatars.procedural.figure import betas_of

Color = tuple[float, float, float]


def _from_hex(*codes: str) -> tuple[Color, ...]:
    return tuple((int(c[0:2], 16) / 255, int(c[2:4], 16) / 255, int(c[4:6], 16) / 255) for c in codes)


@dataclass(frozen=True)
class Top:
    """Cut of an upper garment. Lengths are in metres on the mean body; pairs are ranges to sample from.

    Attributes:
        sleeve: Distance of the cuff from the body's middle (shoulder 0.17, elbow 0.43, wrist 0.67); 0 is sleeveless.
        hem: Height of the hem over the pelvis.
        neck: "crew", "vee", "scoop", "collar", "hood", "turtle" or "zip".
        loose: How far it hangs from chest to hem instead of following the body, 0..1.
        thickness: Distance from the skin.
        folds: Height of creases.
    """

    sleeve: tuple[float, float]
    hem: tuple[float, float]
    neck: str
    loose: tuple[float, float]
    thickness: float
    folds: float


@dataclass(frozen=True)
class Bottom:
    """Cut of trousers, shorts or a skirt.

    Attributes:
        hem: Height of the hem over the pelvis (knee -0.50, ankle -0.90).
        width: Radius of the leg at the hem; for a skirt, of its flare over the hips.
        skirt: One surface around both legs.
        thickness: Distance from the skin.
        folds: Height of creases.
        cloth: "plain", "denim" or "knit".
    """

    hem: tuple[float, float]
    width: tuple[float, float]
    skirt: bool
    thickness: float
    folds: float
    cloth: str


@dataclass(frozen=True)
class Shoe:
    """Cut of a shoe: height of its top edge over the pelvis (sole -0.98), thickness, colour of the sole."""

    top: float
    thickness: float
    sole: Color


@dataclass(frozen=True)
class Pools:
    """What one family samples from."""

    tops: dict[str, Top]
    bottoms: dict[str, Bottom]
    shoes: dict[str, Shoe]
    patterns: tuple[str, ...]
    top_colors: tuple[Color, ...]
    bottom_colors: tuple[Color, ...]
    shoe_colors: tuple[Color, ...]
    hair: dict[str, tuple[str, ...]]
    hair_colors: tuple[Color, ...]
    grey: Color


FAMILIES: dict[str, Pools] = {
    "studio": Pools(
        tops={
            "tee": Top((0.33, 0.40), (-0.16, -0.09), "crew", (0.3, 0.9), 0.007, 0.0045),
            "shirt": Top((0.645, 0.66), (-0.17, -0.11), "collar", (0.4, 0.9), 0.008, 0.0055),
            "hoodie": Top((0.64, 0.66), (-0.13, -0.08), "hood", (0.7, 1.0), 0.018, 0.0070),
            "tank": Top((0.0, 0.0), (-0.14, -0.08), "scoop", (0.1, 0.5), 0.005, 0.0035),
        },
        bottoms={
            "trousers": Bottom((-0.90, -0.88), (0.075, 0.095), False, 0.009, 0.0060, "plain"),
            "slim": Bottom((-0.88, -0.86), (0.055, 0.062), False, 0.005, 0.0045, "plain"),
            "shorts": Bottom((-0.48, -0.38), (0.095, 0.115), False, 0.012, 0.0050, "plain"),
            "skirt": Bottom((-0.48, -0.34), (0.02, 0.09), True, 0.010, 0.0060, "plain"),
        },
        shoes={
            "sneaker": Shoe(-0.893, 0.010, (0.92, 0.91, 0.88)),
            "loafer": Shoe(-0.915, 0.006, (0.13, 0.10, 0.09)),
        },
        patterns=("plain", "stripes", "gingham", "logo"),
        top_colors=_from_hex(
            "d8d8d4", "1f2a44", "8c1c2b", "2f5d50", "e2b33c", "6f8fb5", "222226", "c96f4a", "8e7cc3", "e9e4d4",
            "3d7ea6", "b5485d", "5b7f3a", "f0c9c0",
        ),
        bottom_colors=_from_hex("23262d", "4a4f59", "c2ae8b", "2b3a55", "5a4636", "6b705c", "8f8f8a", "3a2c3f"),
        shoe_colors=_from_hex("e9e7e2", "1d1d1f", "5c3b28", "7d8590", "27364f"),
        hair={"man": ("short", "parted", "afro", "bald"), "woman": ("bob", "ponytail", "parted", "afro", "straight")},
        hair_colors=_from_hex("17130f", "33241a", "5a2e1c", "a8814e", "3f2f25"),
        grey=(0.62, 0.61, 0.60),
    ),
    "street": Pools(
        tops={
            "longsleeve": Top((0.64, 0.66), (-0.15, -0.09), "vee", (0.2, 0.7), 0.006, 0.0050),
            "polo": Top((0.34, 0.41), (-0.15, -0.09), "flap", (0.3, 0.8), 0.008, 0.0040),
            "sweater": Top((0.64, 0.665), (-0.11, -0.05), "turtle", (0.5, 1.0), 0.015, 0.0065),
            "jacket": Top((0.65, 0.67), (-0.13, -0.06), "zip", (0.7, 1.0), 0.020, 0.0075),
        },
        bottoms={
            "jeans": Bottom((-0.91, -0.89), (0.066, 0.084), False, 0.008, 0.0055, "denim"),
            "joggers": Bottom((-0.87, -0.85), (0.078, 0.090), False, 0.012, 0.0070, "knit"),
            "bermudas": Bottom((-0.56, -0.50), (0.085, 0.100), False, 0.011, 0.0050, "denim"),
            "dress skirt": Bottom((-0.70, -0.54), (0.04, 0.12), True, 0.011, 0.0075, "knit"),
        },
        shoes={
            "boot": Shoe(-0.82, 0.012, (0.10, 0.09, 0.09)),
            "runner": Shoe(-0.898, 0.013, (0.86, 0.84, 0.90)),
        },
        patterns=("heather", "pinstripes", "plaid", "dots", "print"),
        top_colors=_from_hex(
            "b8bcc0", "31343c", "4f2d52", "275a7a", "9c3f1f", "7b8c5f", "d9c8a0", "0f4c45", "a33a6b", "5a6b8a",
            "c7583b", "3c3027", "77aab0", "efe9ef",
        ),
        bottom_colors=_from_hex("2e4468", "536f94", "1a1f2b", "7a6a55", "4d5340", "37353a", "93a1b3", "6d3f3c"),
        shoe_colors=_from_hex("2a211c", "8a4b2a", "c9ccd1", "b23a3a", "3b5f4d"),
        hair={"man": ("buzz", "quiff", "curly", "receding"), "woman": ("long", "bun", "curly", "pixie", "wavy")},
        hair_colors=_from_hex("1e1a1b", "4a3427", "7a3d1d", "8f7a5c", "c0a06a"),
        grey=(0.74, 0.73, 0.71),
    ),
}  # fmt: skip

# Skin from very light to very dark under neutral light, sRGB, along the ten tones of the Monk scale (Monk, 2023) and
# moved towards the redder skin that photographs show.
SKIN = np.array(
    [
        (0.845, 0.690, 0.605), (0.820, 0.660, 0.565), (0.785, 0.610, 0.505), (0.730, 0.545, 0.435),
        (0.655, 0.470, 0.360), (0.560, 0.388, 0.285), (0.455, 0.306, 0.222), (0.355, 0.235, 0.172),
        (0.270, 0.178, 0.138),
    ],
    np.float32,
)  # fmt: skip
IRIS = _from_hex("3b2416", "4e3220", "5f4a2c", "5d6b45", "56728a", "7c93a3")


@dataclass(frozen=True, eq=False)
class ProceduralPerson:
    """All that is sampled about one procedural person.

    Attributes:
        betas: 18 body and 14 face coefficients.
        female: 1 for women, 0 for men.
        years: Age.
        skin: Position on the scale of SKIN, 0..1.
        ruddy: How red cheeks and knuckles are.
        iris: Colour of the eyes.
        brow: Strength of the eyebrows.
        beard: 0 shaven, below 0.5 stubble, 1 full.
        hair: Name of the hair style.
        hair_color: Colour of hair, mixed with grey by age.
        top: Cut of the upper garment.
        bottom: Cut of trousers, shorts or skirt.
        shoe: Cut of the shoes.
        top_pattern: Name of the pattern.
        bottom_pattern: Name of the pattern.
        colors: Colours by name: "top", "top2", "bottom", "bottom2", "shoe", "sock" and "under".
        sizes: Sampled sizes by name: "sleeve", "top_hem" and "loose" of the top; "hem" and "width" of the bottom; the
            scale of the "pattern".
        noise: Seed of everything that varies from point to point.
    """

    betas: np.ndarray
    female: float
    years: float
    skin: float
    ruddy: float
    iris: Color
    brow: float
    beard: float
    hair: str
    hair_color: Color
    top: Top
    bottom: Bottom
    shoe: Shoe
    top_pattern: str
    bottom_pattern: str
    colors: dict[str, Color]
    sizes: dict[str, float]
    noise: int


def sample_person(family: str, seed: int) -> ProceduralPerson:
    """Sample the person of this seed and family; the same arguments always give the same person."""
    pools = FAMILIES[family]
    rng = np.random.default_rng((seed, *family.encode()))
    female = float(rng.random() < 0.5)
    years = float(18 + 62 * rng.beta(1.2, 1.9))
    race = rng.dirichlet([0.6, 0.6, 0.6])
    skin = float(np.clip(rng.normal(race @ [0.72, 0.30, 0.18], 0.11), 0, 1))
    styles = pools.hair["woman" if female else "man"]
    # The last style of men is thinning hair, which is commoner with age.
    thin = 0.0 if female else float(np.clip((years - 25) / 60, 0.03, 0.5))
    others = rng.dirichlet([50.0] * (len(styles) - (not female)))
    style = str(rng.choice(styles, p=others if female else [*(others * (1 - thin)), thin]))
    top = pools.tops[str(rng.choice(list(pools.tops)))]
    bottom = pools.bottoms[str(rng.choice([name for name, cut in pools.bottoms.items() if female or not cut.skirt]))]
    shoe = pools.shoes[str(rng.choice(list(pools.shoes)))]
    sizes = {"sleeve": rng.uniform(*top.sleeve), "top_hem": rng.uniform(*top.hem), "loose": rng.uniform(*top.loose)}
    sizes |= {"hem": rng.uniform(*bottom.hem), "width": rng.uniform(*bottom.width), "pattern": rng.uniform(0.8, 1.3)}
    plain = pools.patterns[0]
    return ProceduralPerson(
        betas=_sample_shape(rng, female, years, race),
        female=female,
        years=years,
        skin=skin,
        ruddy=float(rng.uniform(0.4, 1.2)),
        iris=IRIS[int(rng.integers(3 if skin > 0.4 else len(IRIS)))],
        brow=float(rng.uniform(0.5, 1.0) * (0.8 if female else 1.0)),
        beard=0.0
        if female
        else float(rng.choice([0.0, 0.15, 0.35, 0.45, 0.8, 1.0], p=[0.34, 0.22, 0.16, 0.1, 0.1, 0.08])),
        hair=style,
        hair_color=_sample_hair_color(rng, pools, skin, years),
        top=top,
        bottom=bottom,
        shoe=shoe,
        top_pattern=str(rng.choice(pools.patterns, p=_pattern_shares(len(pools.patterns)))),
        bottom_pattern=plain if rng.random() < 0.85 else str(rng.choice(pools.patterns[1:3])),
        colors=_sample_cloth_colors(rng, pools),
        sizes={name: float(value) for name, value in sizes.items()},
        noise=int(rng.integers(2**31)),
    )


def _pattern_shares(count: int) -> np.ndarray:
    """Probabilities of the patterns, which favour the first and plainest."""
    shares = np.array([0.34] + [0.66 / (count - 1)] * (count - 1))
    return shares / shares.sum()


def _sample_shape(rng: np.random.Generator, female: float, years: float, race: np.ndarray) -> np.ndarray:
    phenotype = {
        "gender": float(np.clip(female + (1 - 2 * female) * abs(rng.normal(0, 0.08)), 0, 1)),
        # Anny's age parameter from 18 to 80 years, as scripts/bake_body.py sampled it.
        "age": 0.68 + 0.29 * (years - 18) / 62,
        "muscle": float(rng.beta(2.5, 2.7)),
        "weight": float(rng.beta(2.2, 2.6)),
        "height": float(np.clip(rng.normal(0.385, 0.07), 0.15, 0.65)),
        "proportions": float(rng.beta(3, 2)),
        "cupsize": float(rng.beta(2, 2.5)),
        "firmness": float(rng.beta(2, 2)),
        "african": float(race[0]),
        "asian": float(race[1]),
    }
    face = np.clip(rng.normal(0, 0.8, 14), -1.8, 1.8)
    return np.concatenate([betas_of(phenotype), face]).astype(np.float32)


def _sample_hair_color(rng: np.random.Generator, pools: Pools, skin: float, years: float) -> Color:
    dark = skin > 0.45 or rng.random() < 0.35
    color = np.array(pools.hair_colors[int(rng.integers(2 if dark else len(pools.hair_colors)))])
    grey = float(np.clip((years - rng.normal(54, 8)) / 18, 0, 0.95))
    mixed = color + (np.array(pools.grey) - color) * grey
    return tuple(float(c) for c in np.clip(mixed * rng.uniform(0.85, 1.2), 0, 0.95))  # type: ignore[return-value]


def _vary_color(rng: np.random.Generator, color: Color) -> Color:
    """Sample a colour near this one: hue within 3 %, lightness within 20 %."""
    h, light, s = colorsys.rgb_to_hls(*color)
    return colorsys.hls_to_rgb(
        (h + rng.normal(0, 0.015)) % 1, float(np.clip(light * rng.uniform(0.80, 1.10), 0.06, 0.84)),
        float(np.clip(s * rng.uniform(0.55, 0.95), 0, 1)),
    )  # fmt: skip


def _sample_cloth_colors(rng: np.random.Generator, pools: Pools) -> dict[str, Color]:
    tops = rng.permutation(len(pools.top_colors))
    bottoms = rng.permutation(len(pools.bottom_colors))
    shoes = rng.permutation(len(pools.shoe_colors))
    contrast = max(tops[1:5], key=lambda i: abs(sum(pools.top_colors[i]) - sum(pools.top_colors[tops[0]])))
    return {
        "top": _vary_color(rng, pools.top_colors[tops[0]]),
        "top2": _vary_color(rng, pools.top_colors[contrast]),
        "bottom": _vary_color(rng, pools.bottom_colors[bottoms[0]]),
        "bottom2": _vary_color(rng, pools.bottom_colors[bottoms[1]]),
        "shoe": _vary_color(rng, pools.shoe_colors[shoes[0]]),
        "sock": (0.88, 0.88, 0.86) if rng.random() < 0.5 else (0.12, 0.12, 0.14),
        "under": _vary_color(rng, pools.top_colors[tops[2]]),
    }
