"""What clients may send, as pydantic models: anything else is answered with 422 and the reasons."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, field_validator
from pydantic_core import PydanticCustomError

from mindgap.core.characters import encodable

MOST_FEATURES = 1000
"""Features in one group or one request."""
MOST_MESSAGES = 512
"""Messages in one conversation; a server may be set to take fewer."""
SEEDS = (-(2**63), 2**64 - 1)

Index = Annotated[int, Field(ge=0)]
Words = Annotated[str, Field(min_length=1, max_length=4000), AfterValidator(encodable)]
TopK = Annotated[int, Field(ge=1, le=MOST_FEATURES)]


class Strict(BaseModel):
    """Unknown fields are refused: a misspelt one must not be taken for one left out."""

    model_config = ConfigDict(extra="forbid")


def only(*values: object) -> AfterValidator:
    """For a setting that is not supported: refused unless it has one of these values, which change nothing."""

    def check(value: object) -> object:
        if value is not None and value not in values:
            raise PydanticCustomError("unsupported_value", "is not supported by this server: leave it out")
        return value

    return AfterValidator(check)


class TextPart(Strict):
    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One turn. Fields of other services' messages (`name`, `refusal` …) are ignored, tool calls refused."""

    role: Literal["system", "user", "assistant"]
    content: Annotated[str, AfterValidator(encodable)]
    tool_calls: Annotated[Any, only([])] = None
    function_call: Annotated[Any, only()] = None
    audio: Annotated[Any, only()] = None

    @field_validator("role", mode="before")
    @classmethod
    def known(cls, role: object) -> object:
        """OpenAI's newer name of the system's turn."""
        return "system" if role == "developer" else role

    @field_validator("content", mode="before")
    @classmethod
    def joined(cls, content: object) -> object:
        """OpenAI's clients may send a text as a list of parts."""
        if isinstance(content, list):
            return "".join(TextPart.model_validate(part).text for part in content)
        return content


Messages = Annotated[list[ChatMessage], Field(min_length=1, max_length=MOST_MESSAGES)]


class FeatureIn(Strict):
    uuid: UUID
    label: str = ""
    index_in_sae: Index
    max_activation_strength: FiniteFloat = 1


class FeatureGroupIn(Strict):
    features: Annotated[list[FeatureIn], Field(min_length=1, max_length=MOST_FEATURES)]


class InterventionIn(Strict):
    mode: Literal["nudge", "pin", "mul"]
    features: FeatureGroupIn
    value: FiniteFloat


class ConditionalIn(Strict):
    left_hand: FeatureGroupIn
    right_hand: FiniteFloat | FeatureGroupIn | FeatureIn
    operator: Literal[">", "<", "==", ">=", "<=", "!="]


class ConditionalGroupIn(Strict):
    conditionals: Annotated[list[ConditionalIn], Field(min_length=1, max_length=100)]
    operator: Literal["AND", "OR"]


class ScopeIn(Strict):
    conditionals: ConditionalGroupIn
    controller: ControllerIn
    is_active: bool = False
    event_name: Annotated[str, Field(max_length=200)] | None = None


class ControllerIn(Strict):
    """`goodfire.Variant(...).controller.json()`."""

    interventions: Annotated[list[InterventionIn], Field(max_length=MOST_FEATURES)] = []
    scopes: Annotated[list[ScopeIn], Field(max_length=100)] = []
    name: str | None = None
    nonzero_strength_threshold: FiniteFloat | None = None
    min_nudge_entropy: FiniteFloat | None = None
    max_nudge_entropy: FiniteFloat | None = None


class StreamOptions(Strict):
    include_usage: bool = False
    include_obfuscation: Literal[False] | None = None


class ChatRequest(Strict):
    """A completion. Beside what the SDK sends, what OpenAI's clients send.

    Settings that would change the reply and are not supported are refused unless they are at the value that changes
    nothing, and so is what nobody knows; fields that change no reply (`user`, `metadata`, `store` …) are ignored.
    """

    messages: Messages
    model: str
    stream: bool = False
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    top_p: Annotated[FiniteFloat, Field(gt=0, le=1)] | None = None
    temperature: Annotated[FiniteFloat, Field(ge=0, le=2)] | None = None
    stop: str | Annotated[list[str], Field(max_length=16)] | None = None
    seed: Annotated[int, Field(ge=SEEDS[0], le=SEEDS[1])] | None = None
    controller: ControllerIn | None = None
    n: Annotated[int, Field(ge=1, le=16)] | None = None
    stream_options: StreamOptions | None = None
    frequency_penalty: Annotated[Any, only(0)] = None
    presence_penalty: Annotated[Any, only(0)] = None
    repetition_penalty: Annotated[Any, only(1)] = None
    top_k: Annotated[Any, only(0, -1)] = None
    min_p: Annotated[Any, only(0)] = None
    logit_bias: Annotated[Any, only({})] = None
    logprobs: Annotated[Any, only(False)] = None
    top_logprobs: Annotated[Any, only(0)] = None
    tools: Annotated[Any, only([])] = None
    tool_choice: Annotated[Any, only("none", "auto")] = None
    parallel_tool_calls: object = None
    functions: Annotated[Any, only([])] = None
    function_call: Annotated[Any, only("none", "auto")] = None
    response_format: Annotated[Any, only({"type": "text"})] = None
    modalities: Annotated[Any, only(["text"])] = None
    user: object = None
    metadata: object = None
    store: object = None
    service_tier: object = None
    safety_identifier: object = None
    prompt_cache_key: object = None

    @property
    def stops(self) -> tuple[str, ...]:
        listed = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(text for text in listed if text)


class ModelRequest(Strict):
    model: str


class LogitsRequest(ModelRequest):
    messages: Messages
    top_k: Annotated[int, Field(ge=1)] | None = 10
    filter_vocabulary: Annotated[list[str], Field(max_length=10_000)] | None = None
    controller: ControllerIn | None = None


class TokenizeRequest(ModelRequest):
    messages: Messages


AggregateBy = Literal["count", "frequency", "mean", "max", "sum"]
"""Of the tokens where a feature is active (strength above 0.1, as the SDK counts): how many, two words for it; the
mean, the largest, or the sum of their strengths."""


class ComputeFeaturesRequest(ModelRequest):
    messages: Messages
    aggregate_by: AggregateBy = "count"
    """How the tokens' strengths become one strength a feature."""
    controller: ControllerIn | None = None
    include_feature_indexes: Annotated[list[Index], Field(max_length=MOST_FEATURES)] | None = None


class AttributionRequest(ModelRequest):
    messages: Messages
    start_index: Annotated[Index, Field(alias="startIndex")]
    end_index: Annotated[Index, Field(alias="endIndex")]


class ContrastRequest(ModelRequest):
    dataset_1: Annotated[list[Messages], Field(min_length=1, max_length=256)]
    dataset_2: Annotated[list[Messages], Field(min_length=1, max_length=256)]
    k_to_add: TopK = 5
    k_to_remove: TopK = 5


class NeighborsRequest(ModelRequest):
    feature_indices: Annotated[list[Index], Field(min_length=1, max_length=MOST_FEATURES)]
    top_k: TopK = 10


class RerankRequest(ModelRequest):
    query: Words
    top_k: TopK = 10
    feature_ids: Annotated[list[UUID], Field(min_length=1, max_length=MOST_FEATURES)]


class LookupRequest(ModelRequest):
    indices: Annotated[list[Index], Field(max_length=MOST_FEATURES)]


class SpecificationRequest(ModelRequest):
    specification: Words


class ContrastiveDatasetRequest(Strict):
    specification: Words
