"""Two novel behaviours, step by step: the scripted judges of `hopper-backflip` and `half-cheetah-one-leg`.

A scripted judge stands in for a true reward: synthetic labelers add it up over a clip. Nobody wants its sum for itself;
whether the behaviour is there is for `actors.judges` to say, which no labeler and no learner sees.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray
Fields = dict[str, Array]

HOPPER_GEOMS = ("floor", "torso_geom", "thigh_geom", "leg_geom", "foot_geom")
HOPPER_RADII_M = np.array([0.05, 0.05, 0.04, 0.06])
HOPPER_HALF_LENGTHS_M = np.array([0.2, 0.225, 0.25, 0.195])
CHEETAH_GEOMS = ("floor", "torso", "head", "bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot")
CHEETAH_RADII_M = np.full(8, 0.046)
CHEETAH_HALF_LENGTHS_M = np.array([0.5, 0.15, 0.145, 0.15, 0.094, 0.133, 0.106, 0.07])


def clearances(fields: Fields, radii_m: Array, half_lengths_m: Array) -> Array:
    """How far above the floor the lowest point of each capsule is, [B, G] in m; the floor is geom 0."""
    middle, upward = fields["geom_xpos"][:, 1:, 2], fields["geom_xmat"][:, 1:, 8]
    return middle - np.abs(upward) * half_lengths_m - radii_m


def observe_backflip(fields: Fields) -> Array:
    """gymnasium's Hopper with sine and cosine in place of the torso's angle, which each flip moves on by 2 pi: [B, 12],
    height, sine, cosine, joint angles, velocities within 10."""
    qpos, angle = fields["qpos"], fields["qpos"][:, 2:3]
    parts = (qpos[:, 1:2], np.sin(angle), np.cos(angle), qpos[:, 3:], np.clip(fields["qvel"], -10, 10))
    return np.concatenate(parts, axis=1)


def backflip_reward(fields: Fields, _: Array) -> Array:
    """Turning backwards, in flips a second, counts 1.5 times as far as torso and thigh are clear of the floor; forward
    takes as much, at any speed: a limit to it would pay for going back slowly and forward quickly. The torso's height
    is paid up to 1.5 m, less the 1.2 m of standing: a reason to get up, to jump, to take off and land upright, since
    the hopper cannot lean back on its foot and be high. Standing is worth nothing, or it stands for ever."""
    low = clearances(fields, HOPPER_RADII_M, HOPPER_HALF_LENGTHS_M)[:, :2].min(axis=1)
    turning = -fields["qvel"][:, 2] / (2 * np.pi)
    return 1.5 * turning * np.clip(low / 0.3, 0.0, 1.0) + np.clip(fields["qpos"][:, 1], 0.0, 1.5) - 1.2


def one_leg_reward(fields: Fields, velocity: Array) -> Array:
    """Forward velocity in m/s, within 4, as far as the front leg is lifted, the trunk clear of the floor and the back
    up; each of the three costs where it is not."""
    low = clearances(fields, CHEETAH_RADII_M, CHEETAH_HALF_LENGTHS_M)
    lifted = np.clip(low[:, 5:].min(axis=1) / 0.1, 0.0, 1.0)  # front thigh, shin, foot
    clear = np.clip(low[:, :3].min(axis=1) / 0.1, 0.0, 1.0)  # torso, head, hind thigh
    back_up = np.clip(2.0 * np.cos(fields["qpos"][:, 2]), 0.0, 1.0)  # whole up to 60 degrees: it may rear
    gait = lifted * clear * back_up
    return np.clip(velocity, -1.0, 4.0) * gait + lifted + clear + back_up - 3.0
