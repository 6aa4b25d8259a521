"""The model of a run: opened where its weights are to live, and made into features.

Invariant: the options that decide where weights live and what is computed twice (device, offload,
checkpointing, and the processes of a sharded model) do not change the features; nor do those that
decide what is computed together (batch, compiling), beyond rounding.
"""

from __future__ import annotations

from math import prod

from motive.backbones import Backbone, load_backbone
from motive.backbones.placement import FOLDER_ONLY, Placement, offloaded, sharded, whole
from motive.errors import UsageError
from motive.gradients import Featurizer, automatic_batch
from motive.gradients.sharded import ShardedFeaturizer
from motive.ranks import Ranks
from motive.runs.config import RunConfig


def open_backbone(config: RunConfig, ranks: Ranks | None = None) -> Backbone:
    """The model of a configuration (opened, components not yet loaded).

    Args:
        config: Options of the run.
        ranks: Processes over which the transformer is spread; None: it is this process's alone.

    Raises:
        UsageError: Both sharded and offloaded, or both sharded and fine-tuned; or timesteps of
            different experts.
    """
    placement: Placement = offloaded if config.offload else whole
    device = config.device
    if ranks is not None:
        if config.offload:
            raise UsageError("--shard and --offload: choose one of them")
        if config.weights or config.lora:
            raise UsageError(FOLDER_ONLY)
        placement, device = sharded(ranks), str(ranks.device)
    backbone = load_backbone(
        config.model,
        device=device,
        dtype=config.dtype,
        placement=placement,
        sigma=config.sigma,
        weights=config.weights,
        lora=config.lora,
        merge_lora=config.merge_lora,
    )
    backbone.check_levels([timestep / 1000.0 for timestep in config.timesteps or ()])
    return backbone


def make_featurizer(
    config: RunConfig,
    backbone: Backbone,
    ranks: Ranks | None = None,
) -> Featurizer:
    """What turns prepared clips into features; loads the transformer.

    Args:
        config: Options of the run.
        backbone: The model, opened with the same options.
        ranks: As for `open_backbone`; the leader's call makes the others follow (see `follow`).
    """
    parts = (backbone, config.projection(), config.objective(backbone.sigma_fix))
    checkpointing = config.checkpointing or config.offload
    if ranks is None:
        return Featurizer(
            *parts,
            parameters=config.parameters,
            batch=clips_per_pass(config, backbone),
            checkpointing=checkpointing,
            offload_activations=config.offload_activations,
            compile_backend="inductor" if config.compile_blocks else None,
        )
    if (config.batch or 1) > 1 or config.compile_blocks or config.offload_activations:
        raise UsageError(
            "--shard takes one clip at a time, as it is: leave --batch, --compile-blocks and "
            "--offload-activations out"
        )
    if ranks.leads:
        ranks.send(config)
    return ShardedFeaturizer(
        *parts, ranks=ranks, parameters=config.parameters, checkpointing=checkpointing
    )


def clips_per_pass(config: RunConfig, backbone: Backbone) -> int:
    """Clips per pass: as asked for, else what is fastest."""
    if config.batch is not None:
        return config.batch
    grid = backbone.latent_grid(config.standard(backbone.standard))
    return 1 if config.one_by_one else automatic_batch(backbone.transformer, prod(grid))


def follow(ranks: Ranks) -> None:
    """In a process that does not lead: compute features with the leader until it is done."""
    config = ranks.receive()
    if config is None:
        return
    featurizer = make_featurizer(config, open_backbone(config, ranks), ranks)
    if isinstance(featurizer, ShardedFeaturizer):
        featurizer.follow()
