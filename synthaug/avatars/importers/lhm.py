"""Import LHM's canonical splats, with skinning from the user's SMPL-X body.

LHM exports its people at rest in the T-pose of their betas, without skinning weights.
"""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.avatars.importers import Importer
from synthaug.avatars.importers.files.checkpoints import content_digest
from synthaug.avatars.importers.files.smplx_body import (
    MAX_BETAS,
    BodyShape,
    SmplxBody,
    pose_body,
    read_smplx_npz,
    sparse_weights,
)
from synthaug.avatars.pack.about import About, Licence, Provenance, read_json
from synthaug.avatars.pack.activation import check_sizes
from synthaug.avatars.pack.format import Extras, Pack
from synthaug.avatars.pack.rig import AvatarRig
from synthaug.avatars.pack.splats import read_contents, read_positions
from synthaug.avatars.procedural.figure import nearest, normals_of
from synthaug.structures import Gaussians

LICENCE = Licence(
    name="derived from SMPL-X (MPI, non-commercial); terms of LHM's weights not verified",
    terms="For your own non-commercial research. Do not redistribute before both terms are clear.",
    source="https://smpl-x.is.tue.mpg.de/modellicense.html",
)
MAX_DISTANCE = 0.25
"""Median distance from the body, metres, above which a splat is not in the T-pose."""


@final
@dataclass(frozen=True)
class LhmImporter(Importer):
    """Imports the canonical .ply that LHM's inference writes for the zero pose (T-pose, flat hands), in metres.

    The pack has one level in the T-pose.

    Attributes:
        body: Your own SMPLX_NEUTRAL.npz.
        template: LHM's dense_sample_points/1_40000.ply, whose points are the Gaussians in order: each takes the weights
            of the vertex nearest to its point. Without it the vertex nearest to the Gaussian itself is taken, which is
            less certain between arms and sides.
        betas: JSON file with the person's shape: a list, or an object with `betas`, such as a frame of LHM's
            smplx_params. Without it the mean body is taken.
    """

    body: Path
    template: Path | None = None
    betas: Path | None = None

    def import_person(self, source: Path, name: str) -> Pack:
        """Make a pack of a canonical .ply.

        Raises:
            FileNotFoundError: If a file does not exist.
            ValueError: If a file cannot be read, or they do not belong together.
        """
        tables, contents = read_smplx_npz(self.body), read_contents(source)
        splats = contents.splats
        betas = torch.zeros(1, dtype=torch.float64) if self.betas is None else read_betas(self.betas)
        rest, joints = _rest_body(tables, betas)
        notes = [f"skinning from {self.body.name}", *contents.notes]
        places = splats.means.astype(float)
        away = nearest(rest, places)[0]
        if np.median(away) > MAX_DISTANCE:
            raise ValueError(
                f"Expected '{source}' to be within {MAX_DISTANCE} m of the T-posed body, got a median of "
                f"{np.median(away):.2f} m. Export the canonical splat of the zero pose in metres; import another pose "
                "as ply."
            )
        if self.template is None:
            rows = nearest(rest, places)[1]
            notes.append("weights of the vertex nearest to each Gaussian: look at armpits, crotch and fingers")
        else:
            points = _read_template(self.template, source, len(contents.kept))[contents.kept]
            rows = nearest(_rest_body(tables, betas[:0])[0], points)[1]
        ids, weights = sparse_weights(tables.lbs_weights[torch.from_numpy(rows)])
        check_sizes(splats.scales, source)
        normals = normals_of(rest.astype(np.float32), tables.faces)[rows]
        level = Gaussians(
            means=torch.from_numpy(places - joints[0]).float(), quats=torch.from_numpy(splats.quats),
            scales=torch.from_numpy(splats.scales).clamp(1e-6, 1.0), opacities=torch.from_numpy(splats.opacities),
            colors=torch.from_numpy(splats.colors), joint_ids=ids, weights=weights.float(),
            T_world_rest=torch.eye(4).expand(1, 55, 4, 4), normals=torch.from_numpy(normals).float(),
        )  # fmt: skip
        tool = f"synthaug {version('synthaug')}"
        provenance = Provenance("lhm", source.name, content_digest(source), tool, tuple(notes))
        quality = {"distance_median_m": float(np.median(away)), "gaussians": float(len(places))}
        rig = AvatarRig(torch.from_numpy(joints - joints[0]).float(), torch.zeros(55, 3))
        return Pack(About(name, provenance, LICENCE, quality=quality), rig, (level,), Extras(betas=betas.float()))


def read_betas(path: Path) -> Float[Tensor, " beta"]:
    """Shape coefficients of a JSON file: a list of numbers, or an object that has such a list as `betas`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no such list.
    """
    plain = read_json(path)
    values = plain.get("betas") if isinstance(plain, dict) else plain
    numbers = [float(v) for v in values if isinstance(v, int | float)] if isinstance(values, list) else []
    if not isinstance(values, list) or not 1 <= len(numbers) == len(values) <= MAX_BETAS:
        raise ValueError(
            f"Expected '{path}' to hold a list of 1 to {MAX_BETAS} numbers, or an object with such a list as 'betas', "
            "got something else. Give a frame of LHM's smplx_params, for example."
        )
    return torch.tensor(numbers, dtype=torch.float64)


def _read_template(template: Path, source: Path, count: int) -> np.ndarray:
    """Positions of the template's points, one for each of the splat's `count` Gaussians, [G, 3]."""
    points = read_positions(template)
    if len(points) != count:
        raise ValueError(
            f"Expected as many points in '{template}' as there are Gaussians in '{source}' ({count}), got "
            f"{len(points)}. Give the template with which the model was trained."
        )
    return points


def _rest_body(tables: SmplxBody, betas: Float[Tensor, " beta"]) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and joints of the T-posed body, metres."""
    zeros = torch.zeros(55, 3, dtype=torch.float64)
    vertices, _, joints = pose_body(tables, BodyShape(betas, torch.zeros_like(tables.v_template), zeros), zeros)
    return vertices.numpy(), joints.numpy()
