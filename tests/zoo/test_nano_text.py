"""The text stage: only what a caption states is asked for, and reading is learnt quickly."""

from __future__ import annotations

import pytest
import torch

from motive.zoo.nano_data import tokenize
from motive.zoo.nano_loop import step_generator
from motive.zoo.nano_model import NanoConfig, build_wan_nano, embed_tokens
from motive.zoo.nano_text import FactHeads, TextLoss, stated_facts

FACTORS = {
    "shape": "ball",
    "colour": "red",
    "pattern": "striped",
    "floor": "red",
    "background": "mint",
    "direction": "left",
    "camera": "pan",
}
TINY = NanoConfig(
    vae_width=4, text_dim=16, text_layers=1, heads=2, head_dim=12, layers=1, ffn_dim=16
)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("", {}),
        ("a thing moves", {"motion": "roll"}),
        ("a red ball rolls", {"motion": "roll", "colour": "red", "shape": "ball"}),
        ("it rolls on a red floor, the camera pans", {"floor": "red", "camera": "pan"}),
        ("it rolls in front of a mint wall to the left", {"background": "mint"}),
        ("unstriped balls rolled by the redoubt", {"motion": "roll"}),
    ],
)
def test_only_stated_facts_are_asked_for(caption, expected):
    facts = stated_facts(caption, "roll", FACTORS)
    assert expected.items() <= facts.items()
    if caption.startswith(("unstriped", "a thing")) or not caption:
        assert facts == expected


def test_a_mirrored_caption_states_the_other_direction():
    straight = stated_facts("rolls to the left", "roll", FACTORS)
    mirrored = stated_facts("rolls to the left", "roll", FACTORS, mirrored=True)
    assert (straight["direction"], mirrored["direction"]) == ("left", "right")
    assert straight.keys() == mirrored.keys()


def test_every_token_learns_what_its_caption_says():
    captions = ["a ball rolls", "a cube rolls", "a ball slides", "a cube slides", ""]
    words = [text.split() for text in captions]
    facts = [stated_facts(" ".join(w), w[2], {"shape": w[1]}) if w else {} for w in words]
    pipeline = build_wan_nano(captions, 0, TINY)
    torch.manual_seed(0)
    heads = FactHeads(facts, 16)
    loss = TextLoss(pipeline, heads, captions, facts, facts)
    parameters = [*pipeline.text_encoder.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=0.02)
    for step in range(60):
        optimizer.zero_grad()
        value = loss(step_generator(0, "text", step))
        value.backward()
        optimizer.step()
    ids, mask = tokenize(pipeline.tokenizer, captions[:4], 32)
    with torch.no_grad():
        states = embed_tokens(pipeline.text_encoder, ids, mask)
        read = heads.readers["motion"](states).argmax(dim=-1)
    wanted = torch.tensor([heads.values["motion"].index(f["motion"]) for f in facts[:4]])
    assert (read == wanted[:, None])[mask.bool()].all()


def test_captions_without_facts_give_no_loss_and_no_error():
    captions = ["", "one word rolls"]
    facts = [{}, {"motion": "roll"}]
    pipeline = build_wan_nano(captions, 0, TINY)
    loss = TextLoss(pipeline, FactHeads(facts, 16), captions, facts, facts)
    assert torch.isfinite(loss(step_generator(0, "text", 0)))
