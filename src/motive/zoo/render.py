"""Ray tracing of MotionZoo scenes with newton's camera sensor on the CPU.

The render configuration and the clear colour are compiled into the kernel, so they never change
here; everything that varies between clips is data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from motive.errors import MissingExtraError
from motive.zoo.motions import Part
from motive.zoo.scenes import Scene

_HIDDEN = -60.0  # height of parts that a frame does not show: below the floor, unseen, unlit
_SAMPLES = 4  # rays per pixel
_FIELD_OF_VIEW = np.radians(30.0)


def require_renderer() -> tuple[Any, Any]:
    """Import warp and newton, quietly.

    Returns:
        The modules (warp, newton).

    Raises:
        MissingExtraError: If either is not installed.
    """
    try:
        import warp as wp

        # Before newton initialises warp, which would print a banner and every kernel it loads.
        wp.config.log_level = max(wp.config.log_level, wp.LOG_ERROR)
        import newton
    except ImportError as error:
        raise MissingExtraError(
            "MotionZoo needs newton and warp, which are not installed: "
            "pip install 'motive-video[zoo]'"
        ) from error
    return wp, newton


class SceneRenderer:
    """Renders scenes at one size; keeps the rays and the image buffers between clips."""

    def __init__(self, size: int) -> None:
        """Prepare for square images.

        Args:
            size: Width and height in px.

        Raises:
            MissingExtraError: If newton or warp is not installed.
        """
        self._wp, self._newton = require_renderer()
        from newton.sensors import SensorCamera

        self._sensor = SensorCamera
        self._size = size
        self._rays = SensorCamera.compute_camera_rays_pinhole(
            size, size, camera_fov=float(_FIELD_OF_VIEW), sample_count=_SAMPLES, device="cpu"
        )
        self._config = SensorCamera.RenderConfig(
            enable_textures=True,
            enable_shadows=True,
            enable_particles=False,
            enable_backface_culling=False,
            anti_aliasing=SensorCamera.AntiAliasing.SSAA,
        )
        self._kernels: dict[Any, Any] = {}
        self._image = self._wp.zeros((1, size, size), dtype=self._wp.uint32, device="cpu")
        self._pose = self._wp.zeros(1, dtype=self._wp.transformf, device="cpu")
        self._world = self._wp.zeros(1, dtype=self._wp.int32, device="cpu")

    def render(self, scene: Scene) -> NDArray[np.uint8]:
        """Render every frame of a scene.

        Args:
            scene: Parts, light and camera poses on f frames.

        Returns:
            Frames "f h w 3", uint8 sRGB.
        """
        wp = self._wp
        model = self._model(scene)
        camera = self._sensor(model, default_render_config=self._config)
        self._share_kernels(camera)
        camera.create_default_light(
            direction=wp.vec3f(*scene.light.tolist()), color=scene.light_colour.tolist()
        )
        camera.set_ambient_light((0.42, 0.43, 0.46), (0.24, 0.23, 0.22))
        state = model.state()
        poses = _poses(scene)
        frames = np.empty((len(scene.camera), self._size, self._size, 3), dtype=np.uint8)
        for index in range(len(scene.camera)):
            state.body_q.assign(poses[index])
            self._pose.assign(scene.camera[index : index + 1].astype(np.float32))
            model.bvh_refit_shapes(state)
            camera.update(
                state, self._pose, self._rays, color_image=self._image, world_indices=self._world
            )
            packed = self._image.numpy()[0]
            frames[index] = packed.view(np.uint8).reshape(self._size, self._size, 4)[..., :3]
        return frames

    def _share_kernels(self, camera: Any) -> None:
        """Let every clip's sensor use the kernels of the first one.

        A sensor otherwise rebuilds the same kernel for each model, which takes longer than tracing
        a small clip. Where a newton version keeps them elsewhere, clips only take longer.
        """
        context = getattr(camera, "_render_context", None)
        if context is not None and isinstance(getattr(context, "_kernel_cache", None), dict):
            context._kernel_cache = self._kernels

    def _model(self, scene: Scene) -> Any:
        newton = self._newton
        builder = newton.ModelBuilder()
        look = newton.ModelBuilder.ShapeConfig(
            density=0.0, has_shape_collision=False, has_particle_collision=False
        )
        for part in scene.parts:
            body = builder.add_body(is_kinematic=True)
            builder.add_shape_mesh(
                body,
                mesh=self._mesh(part),
                cfg=look,
                color=(1.0, 1.0, 1.0) if part.texture is not None else part.colour,
            )
        far, back = 30.0, 3.2
        for corners, colour in (
            ([[-far, -far, 0], [far, -far, 0], [far, back, 0], [-far, back, 0]], scene.floor),
            ([[-far, back, 0], [far, back, 0], [far, back, far], [-far, back, far]], scene.wall),
        ):
            quad = newton.Mesh(
                np.array(corners, dtype=np.float32),
                np.array([0, 1, 2, 0, 2, 3], dtype=np.int32),
                compute_inertia=False,
            )
            builder.add_shape_mesh(-1, mesh=quad, cfg=look, color=colour)
        return builder.finalize(device="cpu")

    def _mesh(self, part: Part) -> Any:
        return self._newton.Mesh(
            part.surface.vertices.astype(np.float32),
            part.surface.triangles.ravel(),
            normals=part.surface.normals.astype(np.float32),
            uvs=part.surface.uvs.astype(np.float32) if part.texture is not None else None,
            texture=part.texture,
            compute_inertia=False,
        )


def _poses(scene: Scene) -> NDArray[np.float32]:
    """Body transforms "f n 7" with the parts that a frame hides far below the floor."""
    poses = np.empty((len(scene.camera), len(scene.parts), 7), dtype=np.float32)
    for number, part in enumerate(scene.parts):
        poses[:, number, :3] = part.positions
        poses[:, number, 3:] = part.turns
        if part.visible is not None:
            poses[~part.visible, number, 2] = _HIDDEN
    return poses
