"""LHM's canonical splats made into packs: skinning from the user's SMPL-X body, point by point.

An importer for `synthaug.avatars.pack.format`. LHM exports its people at rest in the T-pose of their betas, without
weights.
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.avatars.importers.checkpoints import content_digest
from synthaug.avatars.importers.exavatar import sparse_weights
from synthaug.avatars.importers.ply import read_places, read_ply
from synthaug.avatars.importers.smplx_body import Shape, SmplxBody, posed_body, read_smplx_npz
from synthaug.avatars.pack.about import About, Licence, Provenance
from synthaug.avatars.pack.format import Extras, Pack
from synthaug.avatars.pack.rig import Rig
from synthaug.avatars.procedural.figure import nearest, normals_of
from synthaug.structures import Gaussians

LICENCE = Licence(
    name="derived from SMPL-X (MPI, non-commercial); terms of LHM's weights not verified",
    terms="For your own non-commercial research. Do not redistribute before both terms are clear.",
    source="https://smpl-x.is.tue.mpg.de/modellicense.html",
)
FAR = 0.25
"""Metres from the body beyond which a splat is not in its pose."""


def import_lhm(
    path: Path, name: str, *, body: Path, template: Path | None = None, betas: Float[Tensor, " beta"] | None = None
) -> Pack:
    """Make a pack of a canonical .ply.

    Args:
        path: What LHM's inference writes for the zero pose (T-pose, flat hands), metres.
        name: Of the identity.
        body: The user's SMPLX_NEUTRAL.npz.
        template: `dense_sample_points/1_40000.ply` of LHM, whose points are the Gaussians in order: weights are those
            of the body's vertex nearest to each. None takes the vertex nearest to the Gaussian itself, which is less
            sure between arms and sides.
        betas: Of the person; None is the mean body.

    Returns:
        One level in the T-pose.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If one cannot be read, or they do not belong together.
    """
    tables, splats = read_smplx_npz(body), read_ply(path)
    betas = torch.zeros(1, dtype=torch.float64) if betas is None else betas.double()
    rest, joints = at_rest(tables, betas)
    notes = [f"skinning from {body.name}"]
    places = splats.means.astype(float)
    away = nearest(rest, places)[0]
    if np.median(away) > FAR:
        raise ValueError(
            f"'{path}' lies {np.median(away):.2f} m (median) from the T-posed body; within {FAR} m was wanted. Export "
            "the canonical splat, in metres, of the zero pose; for another pose import it with kind ply."
        )
    if template is None:
        rows = nearest(rest, places)[1]
        notes.append("weights of the vertex nearest to each Gaussian: look at armpits, crotch and fingers")
    else:
        points = read_places(template)
        if len(points) != len(places):
            raise ValueError(
                f"'{template}' has {len(points)} points and '{path}' {len(places)} sound Gaussians; equal counts were "
                "wanted, since they belong together in order. Give the template that the model was trained with."
            )
        rows = nearest(at_rest(tables, betas[:0])[0], points)[1]
    ids, weights = sparse_weights(tables.lbs_weights[torch.from_numpy(rows)])
    normals = normals_of(rest.astype(np.float32), tables.faces)[rows]
    level = Gaussians(
        means=torch.from_numpy(places - joints[0]).float(), quats=torch.from_numpy(splats.quats),
        scales=torch.from_numpy(splats.scales).clamp(1e-6, 1.0), opacities=torch.from_numpy(splats.opacities),
        colors=torch.from_numpy(splats.colors), joint_ids=ids, weights=weights.float(),
        T_world_rest=torch.eye(4).expand(1, 55, 4, 4), normals=torch.from_numpy(normals).float(),
    )  # fmt: skip
    source = Provenance("lhm", path.name, content_digest(path), f"synthaug {version('synthaug')}", tuple(notes))
    quality = {"distance_median_m": float(np.median(away)), "gaussians": float(len(places))}
    rig = Rig(torch.from_numpy(joints - joints[0]).float(), torch.zeros(55, 3))
    return Pack(About(name, source, LICENCE, quality=quality), rig, (level,), Extras(betas=betas.float()))


def at_rest(tables: SmplxBody, betas: Float[Tensor, " beta"]) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and joints of the T-posed body."""
    zeros = torch.zeros(55, 3, dtype=torch.float64)
    vertices, _, joints = posed_body(tables, Shape(betas, torch.zeros_like(tables.v_template), zeros), zeros)
    return vertices.numpy(), joints.numpy()
