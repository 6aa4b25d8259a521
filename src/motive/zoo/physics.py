"""Trajectories of the ten motions, in closed form or by a small integrator.

Units: 1 scene unit is 0.7 m, so that one second of real gravity (14 units/s^2) fills the frame.
Every function takes frame times "f" in seconds and returns positions or angles on them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

GRAVITY = 14.0  # 9.81 m/s^2 at 0.7 m per scene unit


def bouncing_height(times: Array, height: float, speed: float, restitution: float) -> Array:
    """Height of a body's base above the floor: parabolas joined by impacts.

    Args:
        times: Frame times, ascending from 0, "f".
        height: Height at time 0, >= 0.
        speed: Downward speed at time 0.
        restitution: Share of the speed kept by an impact, in [0, 1].
    """
    out = np.empty_like(times)
    start, base, velocity = 0.0, height, -speed
    for index, now in enumerate(times):
        while True:
            flight = (velocity + np.sqrt(velocity**2 + 2.0 * GRAVITY * base)) / GRAVITY
            if now <= start + flight or flight < 1e-3:
                break
            impact = velocity - GRAVITY * flight
            start, base, velocity = start + flight, 0.0, -restitution * impact
        elapsed = now - start
        at_rest = base <= 0.0 and velocity < 0.05
        fall = base + velocity * elapsed - 0.5 * GRAVITY * elapsed**2
        out[index] = 0.0 if at_rest else max(fall, 0.0)
    return out


def rising_height(times: Array, terminal: float, response: float) -> Array:
    """Rise of a buoyant body from rest towards its terminal speed with linear drag."""
    return terminal * (times - response * (1.0 - np.exp(-times / response)))


def pendulum_angle(times: Array, length: float, angle: float, velocity: float) -> Array:
    """Angle of a rigid pendulum, semi-implicit Euler at 1/1920 s steps or finer."""
    out = np.empty_like(times)
    now, theta, omega = 0.0, angle, velocity
    for index, target in enumerate(times):
        steps = int(np.ceil((target - now) * 1920.0))
        for _ in range(steps):
            dt = (target - now) / steps
            omega -= GRAVITY / length * np.sin(theta) * dt
            theta += omega * dt
        now = target
        out[index] = theta
    return out


def burst_paths(
    times: Array, burst: float, origins: Array, velocities: Array, radius: float
) -> Array:
    """Ballistic paths of fragments with lossy impacts on the floor z = 0.

    Args:
        times: Frame times, "f".
        burst: Time of the explosion; fragments rest before it.
        origins: Fragment centres at rest, "n 3".
        velocities: Velocities right after the burst, "n 3".
        radius: Fragment radius used for the contact with the floor.

    Returns:
        Centres, "f n 3".
    """
    out = np.empty((times.size, *origins.shape))
    position, velocity, now = origins.copy(), velocities.copy(), burst
    ground = np.minimum(radius, origins[:, 2])
    for index, target in enumerate(times):
        steps = max(int(np.ceil((target - now) * 480.0)), 0)
        for _ in range(steps):
            dt = (target - now) / steps
            velocity[:, 2] -= GRAVITY * dt
            position += velocity * dt
            hit = (position[:, 2] < ground) & (velocity[:, 2] < 0.0)
            position[hit, 2] = ground[hit]
            velocity[hit] *= np.array([0.7, 0.7, -0.35])
        now = max(now, target)
        out[index] = position
    return out


def settle(times: Array, start: float, duration: float) -> Array:
    """Progress 0 to 1 of a driven deformation: smooth start and stop."""
    u = np.clip((times - start) / duration, 0.0, 1.0)
    return u * u * (3.0 - 2.0 * u)


def axis_turn(axis: int, angle: Array) -> Array:
    """Quaternions "f 4" (x, y, z, w) of a turn by `angle` "f" about a coordinate axis."""
    out = np.zeros((np.size(angle), 4))
    out[:, axis] = np.sin(0.5 * angle)
    out[:, 3] = np.cos(0.5 * angle)
    return out


def turn_points(turns: Array, points: Array) -> Array:
    """Rotate points "n 3" by every quaternion "f 4"; returns "f n 3"."""
    axis, real = turns[:, None, :3], turns[:, None, 3:]
    once = 2.0 * np.cross(axis, points[None])
    return points[None] + real * once + np.cross(axis, once)


def compose(first: Array, second: Array) -> Array:
    """Quaternion product: `second` applied first, then `first`; both "f 4" or "4"."""
    x1, y1, z1, w1 = np.moveaxis(first, -1, 0)
    x2, y2, z2, w2 = np.moveaxis(second, -1, 0)
    return np.stack(
        [
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
            w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
        ],
        axis=-1,
    )
