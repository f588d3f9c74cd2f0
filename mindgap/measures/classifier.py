"""What a text classifier from Hugging Face says of a reply: toxicity, sentiment, formality …"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from mindgap.core.measurement import Better, Prominence, Range, Role, Value
from mindgap.core.records import Record
from mindgap.measures.base import text_missing


@dataclass(frozen=True)
class Classifier:
    """Probability of one label.

    Attributes:
        name: Column of samples.parquet and name of the metric.
        hf_id: Hugging Face id of a text classifier, or a local folder.
        positive: The label whose probability is measured.
        revision: Hub revision; None = the newest.
        label: Title for people.
        better: Which way is good.
        role: What it stands for; see `Declaration`.
        prominence: Where it is shown; see `Declaration`.
    """

    name: str
    hf_id: str
    positive: str
    revision: str | None = None
    label: str = ""
    better: Better = "neither"
    role: Role = "sign"
    prominence: Prominence = "shown"

    range: Range = (0, 1)
    digits: int = 3

    def lacks(self) -> list[str]:
        """What is missing here to classify, one thing a sentence; loads nothing."""
        missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
        return [f"the packages {' and '.join(missing)}: pip install 'mindgap[local]'"] if missing else []

    def value(self, sample: Record) -> Value:
        """See `Measure.value`. Only as much of the reply as the classifier can read is classified."""
        if missing := text_missing(sample):
            return missing
        if not sample.response.strip():
            return Value(None, "empty response")
        classify = _classifier(self.hf_id, self.revision)
        if isinstance(classify, str):
            return Value(None, classify)
        scores = {entry["label"]: float(entry["score"]) for entry in classify(sample.response)}
        if self.positive not in scores:
            return Value(None, f"{self.hf_id} has no label {self.positive!r}; it has {', '.join(sorted(scores))}")
        return Value(scores[self.positive])


@cache
def _classifier(hf_id: str, revision: str | None) -> Callable[[str], list[dict[str, Any]]] | str:
    """The classifier, loaded once a process; where it cannot be had, the reason, found out once."""
    import transformers

    try:
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            hf_id, revision=revision, use_safetensors=True, trust_remote_code=False
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(hf_id, revision=revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        return f"the classifier {hf_id} could not be loaded ({reason}); give a local folder or download it first"
    pipeline = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)
    positions = getattr(model.config, "max_position_embeddings", None) or tokenizer.model_max_length
    most = min(tokenizer.model_max_length, positions - 2)  # RoBERTa counts two positions more than it has
    return lambda text: pipeline([text], truncation=True, max_length=most)[0]
