"""Who else of a clip is re-enacted: groups by nearness, bystanders by request, nobody twice."""

import pytest
import torch

from synthaug.motions.fitting.company import MOST, NEAR, choose_company
from synthaug.structures import Motion


def standing(x=0.0, z=0.0, *, time=4, leaves=0.0):
    """In the T-pose at a place; walks away along z."""
    transl = torch.tensor([[x, 0.95, z]]).repeat(time, 1)
    transl[:, 2] += leaves * torch.arange(time)
    return Motion.from_pose(torch.zeros(time, 55, 3), transl, fps=8.0)


def test_a_group_is_a_chain_of_people_who_come_near_each_other():
    # Behind each other, so that arms do not shorten the way.
    row = [standing(z=0.9 * NEAR), standing(z=1.8 * NEAR), standing(z=4 * NEAR)]
    assert choose_company(standing(), row, "near") == [0, 1]
    assert choose_company(standing(), [row[2], row[1], row[0]], "near") == [1, 2]
    assert choose_company(standing(), [row[1], row[2]], "near") == []
    assert choose_company(standing(), row, "all") == [0, 1, 2]
    assert choose_company(standing(), row, "never") == []


def test_who_comes_near_at_some_time_belongs_to_it():
    assert choose_company(standing(), [standing(z=3 * NEAR, leaves=-NEAR)], "near") == [0]
    assert choose_company(standing(), [standing(z=2 * NEAR, leaves=NEAR)], "near") == []


def test_who_must_be_there_is_there_however_far():
    far = [standing(z=5.0), standing(z=5.6), standing(z=9.0)]
    assert choose_company(standing(), far, "near", sure=1) == [0, 1], "and so is who is near the second"
    assert choose_company(standing(), far, "never", sure=1) == [0]


def test_nobody_is_there_twice():
    ghosts = [standing(x=0.05), standing(x=2.0), standing(x=2.05)]
    assert choose_company(standing(), ghosts, "all") == [1]


def test_crowds_are_cut():
    crowd = [standing(x=float(k + 1)) for k in range(2 * MOST)]
    assert choose_company(standing(), crowd, "all") == list(range(MOST))


def test_other_words_are_told():
    with pytest.raises(ValueError, match="Expected companions to be one of never, near, all, got 'some'. Set"):
        choose_company(standing(), [], "some")
