"""Sample the recipe of one synthetic clip, render it, and write both: `python examples/render_one_clip.py out`.

Chance decides a recipe, and a recipe decides the pixels: the JSON file is all you need to render the clip again.
"""

import sys
from pathlib import Path

import synthaug as sa
from synthaug.backgrounds.rooms import Rooms
from synthaug.motions.actions import Actions
from synthaug.synthesis.references import gather
from synthaug.video import write_video


def main() -> None:
    out = Path(sys.argv[1] if sys.argv[1:] else "out")
    out.mkdir(exist_ok=True)
    # A motion source that needs no film: the record's key names an action, a family of styles and a seed.
    record = sa.Record("hand waving/studio/7", Path("none"), label=0, subject="", camera="", start=0.0, end=4.0)
    synth = sa.default_synthesis(motion=Actions(), background=Rooms(), identities=1, backgrounds=1)
    clip_format = sa.ClipFormat(num_frames=16, fps=8.0, size=160)
    synthesizer = sa.Synthesizer(synth, gather([record], synth.motion), clip_format, seed=3)

    recipe = synthesizer.sample(0)
    (out / "recipe.json").write_text(recipe.to_json())
    clip = synthesizer.render(recipe)
    write_video(out / "clip.mp4", clip.video, fps=recipe.fps)
    print(f"{recipe.actors[0].identity} does '{record.key}' in {out / 'clip.mp4'}; {out / 'recipe.json'} decides it.")


if __name__ == "__main__":
    main()
