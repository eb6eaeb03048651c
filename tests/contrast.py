"""How well words stand out from what is behind them, measured in a browser."""

CONTRASTS = r"""selectors => {
  const numbers = color => color.match(/[\d.]+/g).map(Number);
  const linear = value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = ([red, green, blue]) =>
    0.2126 * linear(red / 255) + 0.7152 * linear(green / 255) + 0.0722 * linear(blue / 255);
  const ground = one => {
    const color = numbers(getComputedStyle(one).backgroundColor), share = color[3] ?? 1;
    if (share === 1 || !one.parentElement) return color;
    const behind = ground(one.parentElement);
    return [0, 1, 2].map(place => share * color[place] + (1 - share) * behind[place]);
  };
  return Object.fromEntries(selectors.flatMap(name => {
    const one = document.querySelector(name);
    if (!one) return [[name, 0]];
    const words = numbers(getComputedStyle(one)[one.closest("svg") ? "fill" : "color"]);
    const [low, high] = [light(words), light(ground(one))].sort((a, b) => a - b);
    return [[name, (high + 0.05) / (low + 0.05)]];
  }));
}"""


def measure_contrasts(page, selectors):
    """Contrast of the first element of each selector; 0 where there is none.

    Source: WCAG 2.2, https://www.w3.org/TR/WCAG22/#contrast-minimum, which asks for 4.5.
    """
    return page.evaluate(CONTRASTS, list(selectors))
