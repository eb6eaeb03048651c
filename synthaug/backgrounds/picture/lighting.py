"""The light of a picture, for the people in it."""

from synthaug.structures import Light


def light_of(level: tuple[float, float, float], share: float, *, darkest: float = 0.6) -> Light:
    """An even light of a plate's brightness and tint: neutral where the plate's mean is a middle grey of 0.45.

    Args:
        level: The plate's mean colour.
        share: How much of it people take on.
        darkest: Least factor on their colours.
    """
    red, green, blue = (min(max((part / 0.45) ** share, darkest), 1.25) for part in level)
    color = (red, green, blue)
    ground = (0.8 * red, 0.8 * green, 0.8 * blue)
    return Light(direction=(0.0, 1.0, 0.0), key=(0.12 * red, 0.12 * green, 0.12 * blue), sky=color, ground=ground)
