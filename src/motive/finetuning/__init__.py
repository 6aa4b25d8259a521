"""Training a video model on clips: full transformer or LoRA, resumable bit for bit.

Invariant: a training is a function of the model, the set of clips and the settings. The number of
updates is fixed beforehand, so that selections of different sizes are compared at equal cost.
"""

from motive.finetuning.config import FinetuneConfig
from motive.finetuning.finetune import Finetuned, finetune

__all__ = ["FinetuneConfig", "Finetuned", "finetune"]
