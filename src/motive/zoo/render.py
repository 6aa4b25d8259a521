"""Ray tracing of MotionZoo scenes with newton's camera sensor on the CPU.

The render configuration and the clear colour are compiled into the kernel, so they never change
here; everything that varies between clips is data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from motive.errors import MissingExtraError
from motive.zoo.camera import FIELD_OF_VIEW
from motive.zoo.motions import Part
from motive.zoo.scenes import Scene
from motive.zoo.shading import bake_tiles
from motive.zoo.shapes import Surface, deform

_HIDDEN = -60.0  # height of parts that a frame does not show: below the floor, unseen, unlit
_SAMPLES = 4  # rays per pixel
_HALF = 9.6  # half width of floor and wall, scene units
_WALL = 3.2  # distance of the wall behind the body


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
        self.size = size
        self._rays = SensorCamera.compute_camera_rays_pinhole(
            size, size, camera_fov=FIELD_OF_VIEW, sample_count=_SAMPLES, device="cpu"
        )
        self._zoom_rays = self._wp.empty_like(self._rays)
        self._config = SensorCamera.RenderConfig(
            enable_textures=True,
            enable_shadows=True,
            enable_particles=False,
            enable_backface_culling=False,
            anti_aliasing=SensorCamera.AntiAliasing.SSAA,
        )
        self._kernels: dict[Any, Any] = {}
        self._pose = self._wp.zeros(1, dtype=self._wp.transformf, device="cpu")
        self._world = self._wp.zeros(1, dtype=self._wp.int32, device="cpu")
        self._image = self._wp.zeros((1, size, size), dtype=self._wp.uint32, device="cpu")
        self._index = self._wp.zeros((1, size, size), dtype=self._wp.uint32, device="cpu")
        self._distance = self._wp.zeros((1, size, size), dtype=self._wp.float32, device="cpu")
        self._probe = self._wp.zeros((size, size, 1, 2), dtype=self._wp.vec3f, device="cpu")

    def render(self, scene: Scene) -> NDArray[np.uint8]:
        """Render every frame of a scene.

        Args:
            scene: Parts, light and camera poses on f frames.

        Returns:
            Frames "f h w 3", uint8 sRGB.
        """
        staged = self.stage(scene)
        return np.stack([staged.image(frame) for frame in range(len(scene.camera.poses))])

    def stage(self, scene: Scene) -> StagedScene:
        """Build a scene once for images and probes of its frames."""
        wp = self._wp
        model = self._model(scene)
        camera = self._sensor(model, default_render_config=self._config)
        self._share_kernels(camera)
        camera.create_default_light(
            direction=wp.vec3f(*scene.light.tolist()), color=scene.light_colour.tolist()
        )
        camera.set_ambient_light((0.42, 0.43, 0.46), (0.24, 0.23, 0.22))
        return StagedScene(self, scene, model, camera)

    def _zoomed(self, focal: float) -> Any:
        """Rays of a camera with this focal length, in frame heights."""
        if abs(focal * 2.0 * np.tan(FIELD_OF_VIEW / 2.0) - 1.0) < 1e-6:
            return self._rays
        return self._sensor.compute_camera_rays_pinhole(
            self.size,
            self.size,
            camera_fov=float(2.0 * np.arctan(0.5 / focal)),
            sample_count=_SAMPLES,
            out_rays=self._zoom_rays,
        )

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
            for surface in part_surfaces(part):
                body = builder.add_body(is_kinematic=True)
                builder.add_shape_mesh(
                    body,
                    mesh=self._mesh(part, surface),
                    cfg=look,
                    color=(1.0, 1.0, 1.0) if part.texture is not None else part.colour,
                )
        for corners, texture in _surroundings(scene):
            quad = newton.Mesh(
                np.array(corners, dtype=np.float32),
                np.array([0, 1, 2, 0, 2, 3], dtype=np.int32),
                uvs=np.array([[0, 1], [1, 1], [1, 0], [0, 0]], dtype=np.float32),
                texture=texture,
                compute_inertia=False,
            )
            builder.add_shape_mesh(-1, mesh=quad, cfg=look, color=(1.0, 1.0, 1.0))
        return builder.finalize(device="cpu")

    def _mesh(self, part: Part, surface: Surface) -> Any:
        return self._newton.Mesh(
            surface.vertices.astype(np.float32),
            surface.triangles.ravel(),
            normals=surface.normals.astype(np.float32),
            uvs=surface.uvs.astype(np.float32) if part.texture is not None else None,
            texture=part.texture,
            compute_inertia=False,
        )


class StagedScene:
    """One scene inside the ray tracer."""

    def __init__(self, renderer: SceneRenderer, scene: Scene, model: Any, camera: Any) -> None:
        self._renderer = renderer
        self._scene = scene
        self._model = model
        self._camera = camera
        self._state = model.state()
        self._poses = _poses(scene)
        self._frame = -1
        counts = [len(part_surfaces(part)) for part in scene.parts]
        # Floor and wall come after all meshes of the parts.
        self._part_of = np.append(np.repeat(np.arange(len(counts)), counts), [-1, -1])

    def image(self, frame: int) -> NDArray[np.uint8]:
        """Image of a frame, "h w 3" uint8 sRGB."""
        self._show(frame)
        owner = self._renderer
        self._camera.update(
            self._state,
            owner._pose,
            owner._zoomed(float(self._scene.camera.focal[frame])),
            color_image=owner._image,
            world_indices=owner._world,
        )
        packed = owner._image.numpy()[0]
        colours: NDArray[np.uint8] = packed.view(np.uint8).reshape(owner.size, owner.size, 4)
        return colours[..., :3].copy()

    def probe(
        self, frame: int, directions: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """First hits of one ray per pixel from the camera.

        Args:
            frame: Frame number.
            directions: Unit directions "h w 3" in the camera's own axes.

        Returns:
            Number of the part hit, -1 for floor and wall, -2 for nothing, "h w"; and the distance
            from the camera, "h w".
        """
        self._show(frame)
        owner = self._renderer
        rays = np.zeros((owner.size, owner.size, 1, 2, 3), dtype=np.float32)
        rays[:, :, 0, 1] = directions
        owner._probe.assign(rays)
        self._camera.update(
            self._state,
            owner._pose,
            owner._probe,
            depth_image=owner._distance,
            shape_index_image=owner._index,
            world_indices=owner._world,
        )
        index = owner._index.numpy()[0].astype(np.int64)
        hit = index < len(self._part_of)
        parts = np.where(hit, self._part_of[np.where(hit, index, 0)], -2)
        return parts, owner._distance.numpy()[0].copy()

    def _show(self, frame: int) -> None:
        """Put parts and camera where the frame has them."""
        if frame == self._frame:
            return
        self._state.body_q.assign(self._poses[frame])
        pose = self._scene.camera.poses[frame : frame + 1]
        self._renderer._pose.assign(pose.astype(np.float32))
        self._model.bvh_refit_shapes(self._state)
        self._frame = frame


def part_surfaces(part: Part) -> list[Surface]:
    """Meshes of a part in its own frame: one, or one per frame of a soft body."""
    load = part.deformation
    if load is None:
        return [part.surface]
    return [
        deform(part.surface, load.axis, float(ratio), float(bulge))
        for ratio, bulge in zip(load.ratios, load.bulges, strict=True)
    ]


def _surroundings(scene: Scene) -> list[tuple[list[list[float]], NDArray[np.uint8]]]:
    """Floor and wall: corners and texture."""
    far, back, top = _HALF, _WALL, 9.6
    floor = [[-far, back - 2 * far, 0], [far, back - 2 * far, 0], [far, back, 0], [-far, back, 0]]
    wall = [[-far, back, 0], [far, back, 0], [far, back, top], [-far, back, top]]
    return [
        (floor, bake_tiles(scene.floor, (16, 16), 0.10)),
        (wall, bake_tiles(scene.wall, (1, 16), 0.06)),
    ]


def _poses(scene: Scene) -> NDArray[np.float32]:
    """Transforms "f n 7" of all meshes, those that a frame hides far below the floor."""
    count = len(scene.camera.poses)
    poses = []
    for part in scene.parts:
        pose = np.concatenate([part.positions, part.turns], axis=1).astype(np.float32)
        if part.deformation is None:
            poses.append(pose)
            continue
        for frame in range(count):
            shown = pose.copy()
            shown[np.arange(count) != frame, 2] = _HIDDEN
            poses.append(shown)
    return np.stack(poses, axis=1)
