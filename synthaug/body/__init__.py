"""The SMPL-X skeleton and what moves it: rotations, retargeting, contacts, blending, mirroring, joint limits."""

from synthaug.body.skeleton import JOINT as JOINT
from synthaug.body.skeleton import PARENTS as PARENTS
from synthaug.body.skeleton import Skeleton as Skeleton
from synthaug.body.skeleton import centre_of as centre_of
from synthaug.body.skeleton import clearances as clearances
from synthaug.body.skeleton import forward_kinematics as forward_kinematics
from synthaug.body.skeleton import global_rotations as global_rotations
from synthaug.body.skeleton import joint_positions as joint_positions
from synthaug.body.skeleton import joint_transforms as joint_transforms
from synthaug.body.skeleton import lowest_heights as lowest_heights
from synthaug.body.skeleton import mean_skeleton as mean_skeleton
from synthaug.body.skeleton import move_motion as move_motion
from synthaug.body.skeleton import resample as resample
from synthaug.body.skeleton import rest_to_world as rest_to_world
from synthaug.body.skeleton import retarget as retarget
from synthaug.body.skeleton import skin as skin
