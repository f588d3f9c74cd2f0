"""A fine-tuned model beside steering of its base, in one comparison."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft", reason="needs the package peft: pip install peft")

import mindgap  # noqa: E402


def test_an_adapter_and_steering_of_its_base_are_one_comparison(
    small_model: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    monkeypatch.chdir(tmp_path)
    small_model.model.save_pretrained("small")
    small_model.tokenizer.save_pretrained("small")
    torch.manual_seed(1)
    settings = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    peft.get_peft_model(AutoModelForCausalLM.from_pretrained("small"), settings).save_pretrained("glad-lora")

    sweep = mindgap.run(
        {
            "model.embedded": False,
            "model.hf_id": "small",
            "model.sae": None,
            "model.adapter": [None, "glad-lora"],
            "method": ["control", "random"],
            "task": "starter_open",
            "task.limit": 2,
            "task.max_tokens": 6,
            "query_set.queries": "[be funny]",
            "judge": "proxy",
            "tracker": "none",
            "resamples": 200,
        }
    )
    (comparison,) = sweep.comparison.groups
    group = comparison.group
    names = [group.name(cell) for cell in group.cells]
    assert names[0] == "Control"
    assert set(names) == {"Control", "Random (native)", "Control, adapter glad-lora", "Random, adapter glad-lora"}
    said = {group.name(cell): [record.response for record in cell.records] for cell in group.cells}
    assert said["Control"] != said["Control, adapter glad-lora"]
    assert "adapterglad_lora" in (sweep.folder / "summary.csv").read_text()
