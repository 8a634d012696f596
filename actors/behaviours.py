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
    """Turning backwards pays 6 for each flip a second, forward costs as much, at any speed: a limit would pay for going
    back slowly and forward quickly. Near the floor, torso or thigh within 0.3 m, down to 0.3 of both; not to 0, or
    turning forward is free there, and was learned.

    Against it stands what makes a roll of it: leg or foot on the floor costs 0.8, and 6 more upside down, so that it is
    better to take off and land upright; torso or thigh on the floor 3; height counts 2 for each metre from 1.25, up to
    2. So standing costs 0.9, or it stands for ever, and lying some 9. Where lying costs more beside what turning
    pays, an agent that learns from comparisons hops on the spot; where less, it rolls over the floor (EXPERIMENTS.md).
    """
    low = clearances(fields, HOPPER_RADII_M, HOPPER_HALF_LENGTHS_M)
    trunk, leg = low[:, :2].min(axis=1), low[:, 2:].min(axis=1)  # torso and thigh; leg and foot
    turning = -fields["qvel"][:, 2] / (2 * np.pi) * (0.3 + 0.7 * np.clip(trunk / 0.3, 0.0, 1.0))
    on_leg = np.clip(1.0 - leg / 0.05, 0.0, 1.0) * (0.8 + 3.0 * (1.0 - np.cos(fields["qpos"][:, 2])))
    on_trunk = np.clip(1.0 - trunk / 0.1, 0.0, 1.0)
    height = np.clip(fields["qpos"][:, 1], 0.0, 2.0) - 1.25
    return 6.0 * turning - on_leg - 3.0 * on_trunk + 2.0 * height


def one_leg_reward(fields: Fields, velocity: Array) -> Array:
    """Forward velocity in m/s, within 2, as far as the front leg is held 0.2 m above the hind one, the trunk clear of
    the floor and the back up; each of the three costs where it is not, the front leg three times as much.

    Why not the front leg's height above the floor? Both legs are in the air for most of a gallop, so that landing on
    either in turn cost little, and was learned. Where speed pays more beside that, the leg is put down for it, too
    (EXPERIMENTS.md)."""
    low = clearances(fields, CHEETAH_RADII_M, CHEETAH_HALF_LENGTHS_M)
    front, hind = low[:, 5:].min(axis=1), low[:, 2:5].min(axis=1)  # thigh, shin, foot of each
    lifted = np.clip((front - hind) / 0.2, 0.0, 1.0)
    clear = np.clip(low[:, :3].min(axis=1) / 0.1, 0.0, 1.0)  # torso, head, hind thigh
    back_up = np.clip(2.0 * np.cos(fields["qpos"][:, 2]), 0.0, 1.0)  # whole up to 60 degrees: it may rear
    gait = lifted * clear * back_up
    return np.clip(velocity, -1.0, 2.0) * gait + 3.0 * lifted + clear + back_up - 5.0
