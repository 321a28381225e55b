"""How riders move among people on foot: they brake for whoever is in the way and in bends, and roll ahead."""

from __future__ import annotations

import math

import numpy as np

RIDER_RADIUS_M = 0.6
"""Half of the room that a rider takes along the way; walkers need `crowd.BODY_RADIUS_M`."""
AHEAD_M = 3.0
"""Riders steer towards the point of their path that lies so far ahead."""
_FRONT_M, _HALF_LANE_M, _SIGHT_M = 1.1, 0.62, 8.0
_BRAKES_S = 0.7
"""A rider closes no gap faster than in this time."""
_BEND_DEG, _SLOWEST_BEND_MPS = 80.0, 1.7
_WAY_M, _WAY_MPS2 = 5.0, 4.5
"""People on foot up to so far ahead step out of a rider's way, the harder the nearer."""
_SPEEDS_UP_MPS2, _BRAKES_MPS2 = 2.0, 4.5
_TURN_RADIUS_M, _TURN_RAD_PER_S = 1.3, (0.5, 1.7)


def clear_speed(yaw_deg: float, away: np.ndarray, velocity: np.ndarray, bend_deg: float, pace_mps: float) -> float:
    """How fast somebody rides with people around.

    Args:
        yaw_deg: heading of the rider.
        away: [n, 2] metres from the rider to everybody; the rider's own row is zero.
        velocity: [n, 2] metres a second of everybody.
        bend_deg: angle between the heading and the way ahead.
        pace_mps: speed on a free, straight way.

    Returns:
        Metres a second, 0 ... pace_mps.
    """
    heading, left = _axes(yaw_deg)
    ahead = away @ heading
    in_way = (ahead > 0.1) & (ahead < _SIGHT_M) & (np.abs(away @ left) < _HALF_LANE_M)
    gap = np.maximum(ahead[in_way] - _FRONT_M, 0.0)
    limits = gap / _BRAKES_S + np.maximum(velocity[in_way] @ heading, 0.0)
    straight = max(1.0 - abs(bend_deg) / _BEND_DEG, 0.0)
    return float(min(pace_mps, _SLOWEST_BEND_MPS + straight * pace_mps, limits.min(initial=math.inf)))


def give_way(yaw_deg: float, away: np.ndarray) -> np.ndarray:
    """How people step out of the way of a rider who comes towards them.

    Args:
        yaw_deg: heading of the rider.
        away: [n, 2] metres from the rider to everybody.

    Returns:
        [n, 2] metres a second squared, across the rider's way.
    """
    heading, left = _axes(yaw_deg)
    ahead, aside = away @ heading, away @ left
    in_way = (ahead > 0.1) & (ahead < _WAY_M) & (np.abs(aside) < RIDER_RADIUS_M + 0.3)
    push = np.where(in_way, _WAY_MPS2 * (1 - ahead / _WAY_M), 0.0)
    return (push * np.where(aside >= 0, 1.0, -1.0))[:, None] * left


def steer(yaw_deg: float, speed_mps: float, wanted: np.ndarray, seconds: float) -> tuple[float, np.ndarray]:
    """What a vehicle makes of the velocity that its rider wishes: it turns about a radius and rolls straight ahead.

    Args:
        yaw_deg: heading now.
        speed_mps: speed now.
        wanted: [2] metres a second.
        seconds: until the next call.

    Returns:
        The new heading in degrees, and the velocity [2] along it.
    """
    turn = 0.0
    if float(np.hypot(*wanted)) > 0.05:
        turn = (math.degrees(math.atan2(wanted[1], wanted[0])) - yaw_deg + 180.0) % 360.0 - 180.0
    limit = math.degrees(min(max(speed_mps / _TURN_RADIUS_M, _TURN_RAD_PER_S[0]), _TURN_RAD_PER_S[1])) * seconds
    yaw_deg = (yaw_deg + max(-limit, min(limit, turn))) % 360.0
    heading, _ = _axes(yaw_deg)
    least, most = speed_mps - _BRAKES_MPS2 * seconds, speed_mps + _SPEEDS_UP_MPS2 * seconds
    return yaw_deg, max(min(max(float(wanted @ heading), least), most), 0.0) * heading


def _axes(yaw_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors [2] ahead and to the left."""
    cos, sin = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
    return np.array([cos, sin]), np.array([-sin, cos])
