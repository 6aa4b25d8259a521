"""Wan 2.1 text-to-video (1.3B, 14B, wan-nano): a diffusers `WanPipeline` folder.

The family's truths:
* rectified flow: z = (1 − σ) h + σ ε, target ε − h, model timestep 1000 σ (a float);
* latents are normalised per channel, (z − mean) / std, with the numbers in the VAE's config;
* the VAE is causal: frame 0 alone, then groups of 4 (4k+1 frames give k+1 latent frames);
* captions are cleaned, cut at 512 tokens, and zeroed past their end. A tokenizer with a smaller
  `model_max_length` (wan-nano) uses that instead.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from motive.backbones.digests import component_digest
from motive.backbones.placement import Placement, whole
from motive.backbones.protocol import NoiseLevel, TextEmbedding
from motive.backbones.wan_vae import decode_whole, encode_whole
from motive.clips import ClipStandard
from motive.errors import ModelError, MotiveError, UsageError

_LOG = logging.getLogger(__name__)
_TEXT_LENGTH = 512  # WanPipeline.__call__ default max_sequence_length
_COMPONENTS = ("transformer", "vae", "text_encoder", "tokenizer")
_TRAIN_TIMESTEPS = 1000.0
_WAN_480P = ClipStandard(frames=81, fps=16.0, height=480, width=832)
_TAKEN_WHOLE = 4096  # latent positions; larger clips go through the VAE in chunks, to save memory
STANDARD_FILE = "motive.json"  # optional, beside model_index.json: the model's clip shape


class WanBackbone:
    """A Wan 2.1 text-to-video folder; components load when first used.

    Attributes:
        name: What the caller asked for (folder, hub id, embedded name).
        folder: Local pipeline folder.
        device: Where the transformer, VAE and text encoder run.
        dtype: Transformer weights and activations; modules that Wan keeps in float32 stay so.
        placement: Where the transformer's weights live.
    """

    family = "Wan 2.1 T2V"

    def __init__(
        self,
        folder: Path,
        *,
        name: str | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        placement: Placement = whole,
    ) -> None:
        self.folder, self.name = folder, name or str(folder)
        self.device, self.dtype = torch.device(device), dtype
        self.placement = placement
        index = _read_json(folder / "model_index.json")
        if index.get("expand_timesteps") or index.get("transformer_2", [None, None])[1]:
            raise ModelError(
                f"{self.name}: a Wan 2.2 pipeline (per-token timesteps or two experts); this "
                "version attributes Wan 2.1 text-to-video folders"
            )
        for component in _COMPONENTS:
            if not (folder / component).is_dir():
                raise ModelError(
                    f"{self.name}: no {component}/ folder; a Wan pipeline has "
                    f"{', '.join(_COMPONENTS)}. Download the whole '-Diffusers' repository"
                )
        vae, transformer = (
            _read_json(folder / part / "config.json") for part in ("vae", "transformer")
        )
        channels = int(vae["z_dim"])
        if int(transformer["in_channels"]) != channels:
            raise ModelError(
                f"{self.name}: the transformer takes {transformer['in_channels']} channels and the "
                f"VAE gives {channels}; image-to-video folders are not supported yet"
            )
        self._space = int(vae.get("scale_factor_spatial") or 8)
        self._time = int(vae.get("scale_factor_temporal") or 4)
        self._patch = tuple(transformer["patch_size"])
        self._mean = torch.tensor(vae["latents_mean"]).view(-1, 1, 1, 1)
        self._std = torch.tensor(vae["latents_std"]).view(-1, 1, 1, 1)
        self.standard = self._read_standard()

    # -- shape -------------------------------------------------------------------------------

    def check_standard(self, standard: ClipStandard) -> None:
        """Check that the VAE and the patch embedding divide the clip's length and size.

        Raises:
            UsageError: Names the nearest shape that works.
        """
        step_h, step_w = self._space * self._patch[1], self._space * self._patch[2]
        nearest = ClipStandard(
            frames=max(1, round((standard.frames - 1) / self._time)) * self._time + 1,
            fps=standard.fps,
            height=max(1, round(standard.height / step_h)) * step_h,
            width=max(1, round(standard.width / step_w)) * step_w,
        )
        if nearest != standard:
            raise UsageError(
                f"{standard.frames} frames of {standard.width}x{standard.height}: {self.name} "
                f"takes {self._time}k+1 frames and sizes divisible by {step_w}x{step_h}; the "
                f"nearest is {nearest.frames} frames of {nearest.width}x{nearest.height}"
            )

    def latent_grid(self, standard: ClipStandard) -> tuple[int, int, int]:
        """Latent (frames, height, width)."""
        return self._grid(standard.frames, standard.height, standard.width)

    def _grid(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        return (frames - 1) // self._time + 1, height // self._space, width // self._space

    def temporal_groups(self, frames: int) -> list[list[int]]:
        """Frame 0 alone, then 4 by 4: [[0], [1, 2, 3, 4], ...]."""
        return [[0]] + [
            list(range(first, min(first + self._time, frames)))
            for first in range(1, frames, self._time)
        ]

    # -- encoders ----------------------------------------------------------------------------

    @torch.no_grad()
    def encode_video(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised posterior mode of uint8 "f h w 3": float32 "c f h w" on the CPU."""
        video = pixels.to(self.device).permute(3, 0, 1, 2).float() / 127.5 - 1.0
        positions = math.prod(self._grid(*video.shape[1:]))
        if positions <= _TAKEN_WHOLE:
            mode = encode_whole(self._vae, video[None]).chunk(2, dim=1)[0]
        else:
            mode = self._vae.encode(video[None]).latent_dist.mode()
        return (mode[0].float().cpu() - self._mean) / self._std

    @torch.no_grad()
    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """Normalised latents "c f h w" -> uint8 "f h w 3" on the CPU; or several, "b c f h w"."""
        if latents.ndim == 5:
            at_once = max(1, _TAKEN_WHOLE // latents[0, 0].numel())
            return torch.cat([self._decoded(part) for part in latents.split(at_once)])
        return self._decoded(latents[None])[0]

    def _decoded(self, latents: torch.Tensor) -> torch.Tensor:
        raw = (latents.cpu() * self._std + self._mean).to(self.device)
        small = raw[:, 0].numel() <= _TAKEN_WHOLE
        video = decode_whole(self._vae, raw) if small else self._vae.decode(raw).sample
        video = video.float().clamp(-1, 1)
        return ((video.permute(0, 2, 3, 4, 1) + 1.0) * 127.5).round().to(torch.uint8).cpu()

    @torch.no_grad()
    def encode_text(self, caption: str) -> TextEmbedding:
        """Caption embeddings as `WanPipeline` makes them (cleaned, cut, without the padding)."""
        from diffusers.pipelines.wan.pipeline_wan import prompt_clean

        tokenizer, encoder = self._text
        length = min(_TEXT_LENGTH, int(tokenizer.model_max_length))
        cleaned = prompt_clean(caption)
        untruncated = len(tokenizer(cleaned).input_ids)
        if untruncated > length:
            _LOG.warning(
                "caption has %d tokens, the model reads %d; cut: %.60s...",
                untruncated,
                length,
                cleaned,
            )
        batch = tokenizer(
            [cleaned],
            padding="max_length",
            max_length=length,
            truncation=True,
            add_special_tokens=True,
            return_attention_mask=True,
            return_tensors="pt",
        )
        mask = batch.attention_mask.to(self.device)
        hidden = encoder(batch.input_ids.to(self.device), mask).last_hidden_state[0]
        return TextEmbedding(hidden[: int(mask.sum())].float().cpu(), length)

    def release_encoders(self) -> None:
        """Free the VAE and the text encoder (on a GPU they would crowd the transformer)."""
        for part in ("_vae", "_text"):
            self.__dict__.pop(part, None)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    # -- diffusion ---------------------------------------------------------------------------

    def add_noise(
        self, latents: torch.Tensor, noise: torch.Tensor, sigma: NoiseLevel
    ) -> torch.Tensor:
        """Noised latents z = (1 − σ) h + σ ε; σ for the batch, or one per clip "b"."""
        if isinstance(sigma, torch.Tensor):
            sigma = sigma.to(latents).view(-1, 1, 1, 1, 1)
        return (1.0 - sigma) * latents + sigma * noise

    def target(self, latents: torch.Tensor, noise: torch.Tensor, sigma: NoiseLevel) -> torch.Tensor:
        """The velocity ε − h, at every σ."""
        return noise - latents

    def predict(self, noisy: torch.Tensor, sigma: NoiseLevel, text: torch.Tensor) -> torch.Tensor:
        """Velocity "b c f h w" (float32) for noisy latents at σ, given text "b l d".

        Args:
            noisy: "b c f h w".
            sigma: In [0, 1]; one for the whole batch, or a tensor "b" with one per clip.
            text: "b l d".
        """
        if isinstance(sigma, torch.Tensor):
            timestep = sigma.to(self.device, torch.float32) * _TRAIN_TIMESTEPS
        else:
            timestep = torch.full((len(noisy),), sigma * _TRAIN_TIMESTEPS, device=self.device)
        output = self.transformer(
            hidden_states=noisy.to(self.device, self.dtype),
            timestep=timestep,
            encoder_hidden_states=text.to(self.device, self.dtype),
            return_dict=False,
        )[0]
        return output.float()

    def sampling_pipeline(self) -> Any:
        """A `WanPipeline` with this transformer and VAE and the folder's own scheduler.

        It has no text encoder: give it `prompt_embeds` made of `encode_text(...).padded()`.

        Raises:
            ModelError: The folder has no scheduler, or one that cannot be loaded.
        """
        import diffusers

        index = _read_json(self.folder / "model_index.json")
        kind = (index.get("scheduler") or [None, None])[1]
        if not isinstance(kind, str) or not hasattr(diffusers, kind):
            raise ModelError(f"{self.name}: model_index.json names no scheduler to sample with")
        return diffusers.WanPipeline(
            tokenizer=None,
            text_encoder=None,
            vae=self._vae,
            scheduler=_load(getattr(diffusers, kind), self, "scheduler"),
            transformer=self.transformer,
        )

    # -- identity and loading ----------------------------------------------------------------

    def fingerprint(self) -> dict[str, object]:
        """Family, compute dtype and a digest of every component's files."""
        digests = {part: component_digest(self.folder / part) for part in _COMPONENTS}
        return {"family": self.family, "dtype": str(self.dtype).removeprefix("torch."), **digests}

    @cached_property
    def transformer(self) -> torch.nn.Module:
        """`WanTransformer3DModel`, in evaluation mode."""
        from diffusers import WanTransformer3DModel

        # First use may be under inference mode; weights made there could never be trained.
        with torch.inference_mode(False), _loading(self, "transformer") as folder:
            model = self.placement(WanTransformer3DModel, folder, self.dtype, self.device)
            return model.eval()

    @cached_property
    def _vae(self) -> Any:
        from diffusers import AutoencoderKLWan

        # float32 as in every Wan trainer: half precision visibly shifts the latents.
        model = _load(AutoencoderKLWan, self, "vae", torch_dtype=torch.float32)
        return model.to(self.device).eval().requires_grad_(False)

    @cached_property
    def _text(self) -> tuple[Any, Any]:
        from transformers import AutoTokenizer, UMT5EncoderModel

        tokenizer = _load(AutoTokenizer, self, "tokenizer")
        dtype = torch.float32 if self.device.type == "cpu" else torch.bfloat16
        encoder = _load(UMT5EncoderModel, self, "text_encoder", dtype=dtype)
        return tokenizer, encoder.to(self.device).eval().requires_grad_(False)

    def _read_standard(self) -> ClipStandard:
        path = self.folder / STANDARD_FILE
        if not path.exists():
            return _WAN_480P
        try:
            return ClipStandard(**_read_json(path))
        except TypeError as error:
            raise ModelError(f"{path}: {error}; expected frames, fps, height, width") from None


def _load(cls: Any, backbone: WanBackbone, part: str, **options: Any) -> Any:
    """Load one component from the local folder, or say in one line why not."""
    with _loading(backbone, part) as folder:
        return cls.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, **options
        )


@contextmanager
def _loading(backbone: WanBackbone, part: str) -> Iterator[Path]:
    """The folder of a component; what goes wrong with it is said in one line."""
    try:
        yield backbone.folder / part
    except torch.OutOfMemoryError as error:
        raise MotiveError(
            f"{backbone.name}: {part} does not fit into the memory of {backbone.device}; try "
            "--dtype bfloat16, --offload (weights in CPU memory) or --shard (several devices)"
        ) from error
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"{backbone.name}: {part} cannot be loaded ({first}); check that the download is whole"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path}: file not found; is this a whole diffusers pipeline?") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path}: expected a JSON object")
    return value
