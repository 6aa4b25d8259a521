"""What the processes of the sharding tests run: found by name, so in a module of its own."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

DIM, BLOCK, SEED, FRAMES = 64, 256, 5, 9
GROUPS = r"\.(attn\d|ffn)\."


def join(rank, size, folder):
    """A world of CPU processes that meet at a file."""
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=size,
        timeout=timedelta(minutes=5),
    )
    from motive.ranks import Ranks

    torch.set_num_threads(1)
    return Ranks(torch.device("cpu"))


def make_clip(seed):
    from motive.backbones import TextEmbedding

    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(16, 3, 8, 8, generator=generator)
    text = TextEmbedding(torch.randn(7, 32, generator=generator), 512)
    return latents, text, torch.rand(3, 8, 8, generator=generator)


def run(rank, size, folder, model):
    """One process: features of a sharded model, then every layout."""
    ranks = join(rank, size, folder)
    torch.save(features(ranks, model), f"{folder}/features{rank}.pt")
    torch.save(errors(ranks, model, folder), f"{folder}/errors{rank}.pt")
    torch.save(layouts(ranks), f"{folder}/layouts{rank}.pt")
    dist.destroy_process_group()


def numbers(feature):
    """A feature as what can be saved."""
    groups = {name: numbers(part)[:3] for name, part in feature.groups.items()}
    return feature.vector, feature.projected_norm, feature.gradient_norm, feature.loss, groups


def several_files(model, folder):
    """A copy of a pipeline folder whose transformer is in several files with an index."""
    from diffusers import WanTransformer3DModel

    shutil.copytree(model, folder)
    transformer = WanTransformer3DModel.from_pretrained(f"{model}/transformer")
    shutil.rmtree(f"{folder}/transformer")
    transformer.save_pretrained(f"{folder}/transformer", max_shard_size="40KB")
    return folder


def errors(ranks, model, folder):
    """What is said about folders that cannot be read in parts; the same in every process."""
    from motive.backbones import load_backbone
    from motive.backbones.placement import sharded
    from motive.errors import ModelError

    said = {}
    index = "transformer/diffusion_pytorch_model.safetensors.index.json"
    for name in ("missing", "other shape", "malformed", "no file"):
        copy = Path(shutil.copytree(model, f"{folder}/{name} {ranks.rank}"))
        table = json.loads((copy / index).read_text())
        if name == "missing":
            del table["weight_map"]["blocks.1.ffn.net.2.bias"]
        (copy / index).write_text("{" if name == "malformed" else json.dumps(table))
        if name == "other shape":
            config = copy / "transformer" / "config.json"
            config.write_text(json.dumps(json.loads(config.read_text()) | {"ffn_dim": 64}))
        if name == "no file":
            (copy / index).unlink()
        try:
            load_backbone(copy, device="cpu", placement=sharded(ranks)).transformer  # noqa: B018
        except ModelError as error:
            said[name] = str(error)
    return said


def features(ranks, model):
    """Features in both precisions, once with an unusable clip between; and parameters held."""
    from motive.backbones import load_backbone
    from motive.backbones.placement import sharded
    from motive.errors import ClipError
    from motive.gradients import Objective
    from motive.gradients.sharded import ShardedFeaturizer
    from motive.projection import BlockedFastfood

    found = {}
    for dtype in ("float32", "bfloat16"):
        backbone = load_backbone(model, device="cpu", dtype=dtype, placement=sharded(ranks))
        featurizer = ShardedFeaturizer(
            backbone,
            BlockedFastfood(DIM, SEED, BLOCK),
            Objective(),
            ranks=ranks,
            groups=GROUPS,
            checkpointing=dtype == "bfloat16",
        )
        if not ranks.leads:
            featurizer.follow()
            continue
        made = []
        with featurizer.ready():
            for seed in (0, None, 1):
                latents, text, weights = make_clip(seed or 0)
                try:
                    mask = torch.zeros_like(weights) if seed is None else weights
                    made.append(featurizer.feature(latents, text, mask, FRAMES))
                except ClipError as error:
                    found["error"] = str(error)
        ranks.send(None)
        found[dtype] = [numbers(feature) for feature in made]
    return found, sum(p.to_local().numel() for p in backbone.transformer.parameters())


def laid_out(ranks):
    """One tensor in every layout that a gradient may have."""
    from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor

    whole = torch.randn(7, 3, 50, generator=torch.Generator().manual_seed(3))
    for placement in (Shard(0), Shard(1), Shard(2), Replicate()):
        yield str(placement), whole, distribute_tensor(whole, ranks.mesh, [placement])
    half = DTensor.from_local(whole / ranks.size, ranks.mesh, [Partial()])
    yield "Partial", whole, half
    yield "plain", whole, whole
    yield "scalar", whole[0, 0, 0], distribute_tensor(whole[0, 0, 0], ranks.mesh, [Replicate()])
    yield "one row", whole[:1], distribute_tensor(whole[:1], ranks.mesh, [Shard(0)])


def layouts(ranks):
    """Projection of one tensor in every layout from the slices of all processes, and whole."""
    from motive.gradients.sharded import gradient_slice
    from motive.projection import BlockedFastfood

    projection, found = BlockedFastfood(DIM, SEED, BLOCK), {}
    for name, whole, gradient in laid_out(ranks):
        values, start = gradient_slice("w", gradient, ranks.rank, ranks.size)
        sums = torch.zeros(DIM + 2)
        if values.numel():
            sums[:DIM] = projection.partial("w", values, start, whole.numel())
        sums[DIM], sums[DIM + 1] = values.square().sum(), values.numel()
        found[name] = (ranks.sum(sums), projection.partial("w", whole), whole)
    return found
