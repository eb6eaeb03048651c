import dataclasses
import datetime
import json
import os
import pickle
import struct

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from synthaug.avatars.anny import AnnyPerson
from synthaug.avatars.pack.about import About, Consent, ConsentError, Licence, PackError, Provenance
from synthaug.avatars.pack.format import (
    MAX_HEADER_BYTES,
    SUFFIX,
    Extras,
    Pack,
    PackFile,
    read_header,
    read_pack,
    with_about,
    write_pack,
)
from synthaug.avatars.pack.rig import AvatarRig
from synthaug.avatars.packs import PackedPerson, Packs, balance
from synthaug.body.skeleton import JOINT, forward_kinematics, mean_skeleton
from synthaug.datasets import LeakError, Split
from synthaug.datasets.leaks import assert_strangers
from synthaug.renderers.cpu import CpuRenderer
from synthaug.structures import Camera, Motion, Record
from synthaug.testing.avatars import check_avatar, check_avatar_pool

PAPERS = About("x", Provenance("anny", notes=("a note",)), Licence("CC0-1.0"), height=1.7, quality={"psnr_db": 30.0})


def wriggle(frames=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pose = 0.3 * torch.randn(frames, 55, 3, generator=generator)
    return Motion.from_pose(pose, torch.tensor([[0.0, 0.95, 0.0]]).repeat(frames, 1), fps=30.0)


def pack_of(person, about=PAPERS):
    rest = person.pose(wriggle(1))
    return Pack(about, AvatarRig(person.skeleton.joints, torch.zeros(55, 3)), (rest,))


def tiny(about=PAPERS, count=40, seed=0, levels=(1, 2)):
    """A handful of beads along the skeleton, at several levels, the coarsest isotropic."""
    generator = torch.Generator().manual_seed(seed)
    person = AnnyPerson("studio", seed, gaussians=1000).pose(wriggle(1))
    fields = ("means", "quats", "scales", "opacities", "colors", "joint_ids", "weights", "normals")
    rest = dataclasses.replace(person, **{name: getattr(person, name)[:count] for name in fields})
    parts = [dataclasses.replace(rest, **{name: getattr(rest, name)[::step] for name in fields}) for step in levels]
    parts[-1] = dataclasses.replace(
        parts[-1],
        scales=parts[-1].scales[:, :1].expand(-1, 3),
        quats=torch.tensor([[1.0, 0, 0, 0]]).repeat(len(parts[-1].means), 1),
    )
    pose = 0.2 * torch.randn(55, 3, generator=generator)
    return Pack(about, AvatarRig(mean_skeleton().joints, pose), tuple(parts))


@pytest.fixture(scope="module")
def person():
    return AnnyPerson("studio", 3, gaussians=3000)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / f"tiny{SUFFIX}"
    write_pack(path, tiny())
    return path


def test_a_person_saved_and_loaded_renders_the_same_pixels(tmp_path, person):
    write_pack(tmp_path / f"p{SUFFIX}", pack_of(person))
    loaded, motion = PackedPerson(tmp_path / f"p{SUFFIX}"), wriggle()
    viewmat = torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, 0.95], [0, 0, -1, 3.0], [0, 0, 0, 1]]).repeat(3, 1, 1)
    camera = Camera(viewmat, torch.tensor([[120.0, 0, 48], [0, 120, 48], [0, 0, 1]]).repeat(3, 1, 1), 96, 96)
    ours, theirs = (CpuRenderer().render((who.pose(motion),), camera) for who in (person, loaded))
    assert torch.equal(ours.rgb, theirs.rgb) and torch.equal(ours.alpha, theirs.alpha)
    assert int(ours.alpha.max()) == 255


def test_a_packed_person_is_an_avatar_in_whatever_pose_it_is_stored(path):
    check_avatar(PackedPerson(path))


def test_packs_are_an_avatar_pool(tmp_path):
    for seed in range(4):
        write_pack(tmp_path / f"lab/{seed}{SUFFIX}", tiny(seed=seed))
    check_avatar_pool(Packs(tmp_path))
    assert set(Packs(tmp_path).headers) == {"lab/0", "lab/1", "lab/2", "lab/3"}


def test_the_canonical_pose_gives_back_the_stored_gaussians():
    for hands in ("composed", "exavatar"):
        rig = dataclasses.replace(tiny().rig, hands=hands)
        still = Motion.from_pose(rig.canonical_pose[None], torch.zeros(1, 3), fps=1.0)
        torch.testing.assert_close(rig.transforms(still)[0], torch.eye(4).expand(55, 4, 4), rtol=0, atol=2e-6)


def test_hands_agree_where_they_are_canonical_and_differ_elsewhere():
    rig = tiny().rig
    motion = wriggle()
    canonical = motion.pose.clone()
    canonical[:, 25:] = rig.canonical_pose[25:]
    for pose, same in ((canonical, True), (motion.pose, False)):
        moved = Motion.from_pose(pose, motion.transl, fps=30.0)
        ours, theirs = (dataclasses.replace(rig, hands=rule).transforms(moved) for rule in ("composed", "exavatar"))
        assert torch.allclose(ours, theirs, atol=1e-5) is same


def test_joints_of_the_canonical_pose_are_forward_kinematics():
    rig = tiny().rig
    still = Motion.from_pose(rig.canonical_pose[None], torch.zeros(1, 3), fps=1.0)
    torch.testing.assert_close(rig.joints_canonical, forward_kinematics(still, rig.skeleton)[0, :, :3, 3])


def test_all_that_was_written_is_read(tmp_path):
    extras = Extras(
        betas=torch.randn(10), sh=torch.randn(40, 15, 3), expression_rows=torch.tensor([1, 5], dtype=torch.int32),
        expression_dirs=torch.randn(2, 3, 10), corrective_dirs=torch.randn(40, 3, 7),
        corrective_features=torch.randn(7, 486),
    )  # fmt: skip
    pack = dataclasses.replace(tiny(), extras=extras)
    write_pack(tmp_path / f"p{SUFFIX}", pack)
    back = read_pack(tmp_path / f"p{SUFFIX}")
    assert back.about == pack.about
    for name in Extras.__dataclass_fields__:
        assert torch.equal(getattr(back.extras, name), getattr(extras, name)), name
    for ours, theirs in zip(pack.levels, back.levels, strict=True):
        for name in ("means", "quats", "scales", "opacities", "colors", "weights", "normals"):
            assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
        assert torch.equal(ours.joint_ids, theirs.joint_ids.long())


def test_the_library_of_the_container_reads_it_too(path):
    with safe_open(str(path), framework="np") as file:
        assert set(file.keys()) == set(read_header(path).shapes)
        assert json.loads(file.metadata()["synthaug.avatar"])["version"] == 1


def test_an_isotropic_level_is_stored_without_orientations(path):
    header = read_header(path)
    assert header.counts == (40, 20)
    assert header.shapes["levels.1.scales"] == (20, 1) and "levels.1.quats" not in header.shapes


@pytest.mark.parametrize(("gaussians", "count"), [(None, 40), (40, 40), (39, 20), (20, 20), (3, 20)])
def test_the_finest_level_that_fits_is_used(path, gaussians, count):
    person = PackedPerson(path, gaussians=gaussians)
    assert len(person.pose(wriggle(1)).means) == count
    assert person.digest == PackedPerson(path, gaussians=count).digest


def test_the_digest_names_the_content(tmp_path, path):
    write_pack(tmp_path / f"same{SUFFIX}", tiny())
    write_pack(tmp_path / f"other{SUFFIX}", tiny(seed=1))
    digest = PackedPerson(path).digest
    assert PackedPerson(tmp_path / f"same{SUFFIX}").digest == digest
    assert PackedPerson(tmp_path / f"other{SUFFIX}").digest != digest


def test_opening_many_people_costs_no_memory_of_their_own(tmp_path, person):
    """Private pages of the process, as the kernel counts them."""
    source = tmp_path / f"0{SUFFIX}"
    big = AnnyPerson("studio", 3, gaussians=20_000)
    write_pack(source, pack_of(big))
    for number in range(1, 40):
        os.link(source, tmp_path / f"{number}{SUFFIX}")
    pool = Packs(tmp_path)
    kept = [pool.load("0"), pool.load("1")]
    before = _private_bytes()
    kept += [pool.load(str(number)) for number in range(2, 40)]
    grown = (_private_bytes() - before) / 38
    assert grown < 0.15 * source.stat().st_size, f"{grown / 1e6:.2f} MB a person"


def _private_bytes():
    try:
        with open("/proc/self/smaps_rollup") as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith(("Private_Dirty", "Anonymous")))
    except FileNotFoundError:
        pytest.skip("this system has no /proc/self/smaps_rollup")


def test_an_avatar_pool_travels_to_another_process_without_its_open_files(path):
    pool = Packs(path.parent)
    pool.load("tiny")
    again = pickle.loads(pickle.dumps(pool))
    assert again.load("tiny").digest == pool.load("tiny").digest
    assert len(pickle.dumps(pool)) < 20_000


def named(consent=Consent(), subject="", attributes=None):  # noqa: B008 (frozen)
    return dataclasses.replace(PAPERS, consent=consent, subject=subject, attributes=attributes or {})


@pytest.mark.parametrize(
    ("consent", "reason"),
    [
        (Consent(withdrawn=True), "withdrawn"),
        (Consent(training=False), "not consented"),
        (Consent(expires="2026-01-31"), "expired on 2026-01-31"),
    ],
)
def test_people_who_do_not_agree_are_never_sampled_and_not_loaded(tmp_path, consent, reason):
    write_pack(tmp_path / f"no{SUFFIX}", tiny(named(consent)))
    write_pack(tmp_path / f"yes{SUFFIX}", tiny(named(Consent(training=True, expires="2026-02-01"))))
    pool = Packs(tmp_path, today="2026-02-01")
    assert pool.sample(1, np.random.default_rng(0)) == ("yes",)
    with pytest.raises(ConsentError, match=reason):
        pool.load("no")
    with pytest.raises(ValueError, match="at least 2 identities.*got 1 .and 1 that may not be used"):
        pool.sample(2, np.random.default_rng(0))


def test_consent_holds_on_its_last_day():
    assert Consent(expires="2026-01-31").objection(datetime.date(2026, 1, 31)) is None


def test_identities_are_balanced_over_what_is_recorded():
    order = [f"p{index}" for index in np.random.default_rng(0).permutation(60)]
    attributes = {name: {"gender": "woman" if int(name[1:]) < 12 else "man", "age": name[1:][-1]} for name in order}
    chosen = balance(order, attributes, 20)
    assert sum(attributes[name]["gender"] == "woman" for name in chosen) in (9, 10, 11)
    assert len({attributes[name]["age"] for name in chosen}) == 10
    assert balance(order, attributes, 7) == chosen[:7]
    assert balance(order, {name: {} for name in order}, 5) == order[:5]


def test_ten_identities_of_a_pool_are_balanced_and_the_first_of_twenty(tmp_path):
    anybody = tiny(count=8, levels=(1,))
    for number in range(24):
        about = named(attributes={"gender": "woman" if number < 6 else "man"})
        write_pack(tmp_path / f"p{number:02d}{SUFFIX}", with_about(anybody, about))
    pool = Packs(tmp_path)
    for seed in range(3):
        ten = pool.sample(10, np.random.default_rng(seed))
        assert len(set(ten)) == 10 and sum(int(name[1:]) < 6 for name in ten) == 5
        assert pool.sample(20, np.random.default_rng(seed))[:10] == ten
    assert pool.sample(10, np.random.default_rng(0)) != pool.sample(10, np.random.default_rng(1))


def test_a_person_whom_the_test_is_about_is_refused(tmp_path):
    write_pack(tmp_path / f"a{SUFFIX}", tiny(named(subject="s3")))
    write_pack(tmp_path / f"b{SUFFIX}", tiny(named()))
    pool = Packs(tmp_path)
    subjects = {name: pool.subject(name) for name in pool.headers}
    filmed, tested = (Record(key, tmp_path, 0, key, "", 0.0, 1.0) for key in ("s1", "s3"))
    assert_strangers(subjects, Split((filmed, tested), (), (tested,)))
    with pytest.raises(LeakError, match="got 'a', which shows the subject 's3'"):
        assert_strangers(subjects, Split((filmed,), (), (tested,)))


def test_an_empty_or_missing_folder_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="synthaug avatar import"):
        Packs(tmp_path / "nowhere").sample(1, np.random.default_rng(0))


def altered(tmp_path, **changes):
    """A pack whose tensors were changed behind its back, digests made right again."""
    from synthaug.files import digest_of

    source = tmp_path / f"source{SUFFIX}"
    write_pack(source, tiny())
    with safe_open(str(source), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        plain = json.loads(file.metadata()["synthaug.avatar"])
    for name, value in changes.items():
        tensors[name.replace("__", ".")] = value
    tensors = {name: value for name, value in tensors.items() if value is not None}
    plain["digests"] = {name: digest_of(value) for name, value in tensors.items()}
    path = tmp_path / f"altered{SUFFIX}"
    save_file(tensors, path, metadata={"synthaug.avatar": json.dumps(plain)})
    return path


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("levels__0__means", torch.full((40, 3), torch.nan), "means has values that are not finite"),
        ("levels__0__means", torch.full((40, 3), 99.0), "means are between"),
        ("levels__0__colors", torch.full((40, 3), 1.1), "colors are between"),
        ("levels__0__opacities", torch.full((40,), -0.1), "opacities are between"),
        ("levels__0__scales", torch.zeros(40, 3), "scales are between"),
        ("levels__0__weights", torch.full((40, 4), 0.5), "weights do not"),
        ("levels__0__quats", torch.ones(40, 4), "quats do not"),
        ("levels__0__joint_ids", torch.full((40, 4), 55, dtype=torch.int16), "joint_ids are between"),
        ("levels__0__joint_ids", torch.zeros(40, 4, dtype=torch.int64), "instead of I16"),
        ("levels__0__means", torch.zeros(39, 3), r"instead of \[40, 3\]|instead of \[39"),
        ("levels__0__means", torch.zeros(0, 3), "0 Gaussians"),
        ("levels__0__weights", None, "lacks weights"),
        ("levels__7__means", torch.zeros(4, 3), "level 2 lacks"),
        ("payload", torch.zeros(4), "no tensor of this name"),
        ("joints", torch.full((55, 3), 0.5), "pelvis"),
        ("joints_canonical", torch.zeros(55, 3), "joints_canonical is"),
        ("parents", torch.zeros(55, dtype=torch.int16), "parents"),
        ("sh", torch.zeros(40, 4, 3), "sh"),
        ("expression_rows", torch.zeros(2, dtype=torch.int32), "expression_rows"),
    ],
)
def test_broken_tensors_are_refused_in_words(tmp_path, name, value, reason):
    path = altered(tmp_path, **{name: value})
    with pytest.raises(PackError, match=reason):
        read_pack(path)


def test_a_flipped_bit_is_found_before_it_is_seen(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    assert read_header(path)
    with pytest.raises(PackError, match="is not what was written"):
        read_pack(path)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"abc", struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", MAX_HEADER_BYTES + 1) + b" " * 2**21,
        struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 200_000) + b"[" * 200_000,
        struct.pack("<Q", 9) + b'{"a":NaN}', struct.pack("<Q", 9) + b'\xff\xfe{"a":1}',
    ],
)  # fmt: skip
def test_what_is_not_a_pack_is_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(PackError, match="is not a valid avatar pack"):
        read_header(tmp_path / "x")


def test_a_cut_file_is_refused_at_once(path):
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(PackError, match="cut short"):
        read_header(path)


def test_a_newer_version_and_unknown_fields_are_refused(tmp_path, path):
    content = path.read_bytes()
    for old, new, reason in (
        (b'\\"version\\": 1', b'\\"version\\": 2', "its version is '2'"),
        (b'\\"subject\\": \\"\\"', b'\\"sobject\\": \\"\\"', "has an unknown field 'sobject'"),
        (b'\\"height\\": 1.7', b'\\"height\\": 9.7', "got 9.7"),
    ):
        assert old in content
        (tmp_path / "x").write_bytes(content.replace(old, new))
        with pytest.raises(PackError, match=reason):
            read_header(tmp_path / "x")


def test_two_thousand_mutated_packs_are_read_or_refused(tmp_path, path):
    content, rng = path.read_bytes(), np.random.default_rng(0)
    header = 8 + struct.unpack("<Q", content[:8])[0]
    refused = 0
    for turn in range(2000):
        mutant = bytearray(content)
        reach = header if turn % 2 else len(mutant)
        for _ in range(int(rng.integers(1, 4))):
            kind, place = rng.integers(4), int(rng.integers(reach))
            if kind == 0:
                mutant[place] = int(rng.integers(256))
            elif kind == 1:
                del mutant[place : place + int(rng.integers(1, 9))]
            elif kind == 2:
                mutant[place:place] = mutant[: int(rng.integers(1, 9))]
            else:
                mutant[place : place + 1] = rng.choice([b"9", b"-1", b"null", b"[[", b'"', b"1e999", b"{}"])
        (tmp_path / "mutant").write_bytes(mutant)
        try:
            read_pack(tmp_path / "mutant")
        except PackError:
            refused += 1
    assert refused > 1900


def test_other_papers_leave_the_person_alone(tmp_path, path):
    pack = read_pack(path)
    write_pack(tmp_path / "other", with_about(pack, named(Consent(contact="lab"))))
    assert torch.equal(PackFile(tmp_path / "other").level(0).means, pack.levels[0].means)
    assert float(pack.rig.joints[JOINT["head"], 1]) > 0
