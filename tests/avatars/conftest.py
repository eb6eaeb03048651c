import numpy as np
import pytest
from fakes import small_pack

from synthaug.avatars.pack.format import SUFFIX, write_pack
from synthaug.avatars.pack.splats import Splats
from synthaug.testing.exavatar import write_checkpoint


@pytest.fixture(scope="session")
def splats_of():
    """Makes random splats."""
    return random_splats


def random_splats(count, *, coefficients=0, seed=0):
    rng = np.random.default_rng(seed)
    quats = rng.normal(size=(count, 4))
    return Splats(
        means=rng.normal(size=(count, 3)).astype(np.float32),
        quats=(quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        scales=rng.uniform(0.01, 0.1, (count, 3)).astype(np.float32),
        opacities=rng.uniform(0.1, 0.99, count).astype(np.float32),
        colors=rng.uniform(0, 1, (count, 3)).astype(np.float32),
        sh=rng.normal(size=(count, coefficients, 3)).astype(np.float32),
    )


@pytest.fixture(scope="module")
def pack():
    return small_pack("anna", "anny")


@pytest.fixture
def path(tmp_path, pack):
    write_pack(tmp_path / f"anna{SUFFIX}", pack)
    return tmp_path / f"anna{SUFFIX}"


@pytest.fixture(scope="module")
def smplx_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("body")
    network = write_checkpoint(folder, vertices=300, lips=tuple(range(8, 88, 10)))
    layer = {key.removeprefix("smplx_layer."): value.numpy() for key, value in network.items()
             if key.startswith("smplx_layer.")}  # fmt: skip
    shapedirs = np.zeros((300, 3, 400), np.float32)
    np.savez(
        folder / "SMPLX_NEUTRAL.npz", v_template=layer["v_template"], shapedirs=shapedirs, weights=layer["lbs_weights"],
        posedirs=layer["posedirs"].T.reshape(300, 3, 486), J_regressor=layer["J_regressor"], f=layer["faces_tensor"],
        kintree_table=np.stack([layer["parents"].astype(np.uint32)] * 2), hands_meanl=layer["left_hand_mean"],
        hands_meanr=layer["right_hand_mean"],
    )  # fmt: skip
    return folder / "SMPLX_NEUTRAL.npz"
