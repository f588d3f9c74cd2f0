"""What a backend is: settings that can be opened on a model, and the endpoint that opening them gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from mindgap.core.edits import FeatureEdit
from mindgap.core.model import ModelSpec
from mindgap.core.records import Completion, Message, OptionScores, OptionsRequest, Request

Capability = Literal["generate", "loglikelihood", "text", "residual", "features"]
"""`generate`: replies. `loglikelihood`: scores of given texts. `text`: both of prompts as they stand, without a chat
template. `residual`: vectors added inside the model, and activations read from it. `features`: SAE features."""


class Endpoint(Protocol):
    """An open backend: one model, ready to answer. Single-threaded unless it says otherwise."""

    @property
    def identity(self) -> str:
        """Backend, model, revision or weights hash and numeric type, as one string: goes into every content key."""

    @property
    def can(self) -> frozenset[Capability]:
        """What this endpoint supports for this model."""

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """Generate a response to each request.

        A request that fails yields a completion with `error` set; it never yields unsteered text for a steered request.
        Closing the iterator early drops what is in flight.

        Yields:
            `(index into requests, completion)` as each one finishes, in any order.
        """

    def loglikelihood(self, requests: Sequence[OptionsRequest]) -> Iterator[tuple[int, OptionScores]]:
        """Score the options of each request. Needs `loglikelihood` in `can`.

        Yields:
            `(index into requests, scores)` as groups finish, in any order.
        """


@runtime_checkable
class TextEndpoint(Endpoint, Protocol):
    """An endpoint that takes prompts as they stand (`Request.as_text`); the ones with `text` in `can`."""

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt that the model's chat template makes of messages, as text.

        Raises:
            PromptError: The template does not take them.
        """


@runtime_checkable
class SteerableEndpoint(Endpoint, Protocol):
    """An endpoint whose residual stream can be read; the ones with `residual` in `can`."""

    @property
    def layers(self) -> int:
        """Number of transformer blocks."""

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""

    def residuals(self, texts: Sequence[tuple[tuple[Message, ...], str]], layer: int) -> np.ndarray:
        """Mean residual stream over the response tokens, at the output of block `layer`.

        Args:
            texts: Pairs of messages and the response to them.
            layer: Block index.

        Returns:
            float32 `[len(texts), d_model]`; a row is NaN where the response has no tokens.
        """

    def residual_norms(self, texts: Sequence[tuple[tuple[Message, ...], str]], layer: int) -> np.ndarray:
        """Euclidean norms of the residual stream at every response token.

        Args:
            texts: Pairs of messages and the response to them.
            layer: Index of the block at whose output it is read.

        Returns:
            float32 `[tokens]`, those of all texts.
        """

    def likelihood_gradients(self, texts: Sequence[tuple[tuple[Message, ...], str]], layer: int) -> np.ndarray:
        """Gradient of each response's mean log-likelihood per token (nats) by a vector added at block `layer`.

        The vector is added to the residual stream of the unsteered model at every token.

        Args:
            texts: Pairs of messages and the response to them.
            layer: Block index.

        Returns:
            float32 `[len(texts), d_model]`.
        """


Point = Literal["mean", "last", "prompt"]
"""Where a text is read: `mean` over the tokens of its reply, `last`, the last token of all, or `prompt`, the mean over
the tokens of its prompt."""


@runtime_checkable
class ReadableEndpoint(SteerableEndpoint, Protocol):
    """An endpoint whose residual stream can be read at several blocks and at single tokens; all that `residual` have.

    A text is messages and the reply to them, or a string that is read as it stands, without a chat template.
    """

    def read(
        self, texts: Sequence[tuple[tuple[Message, ...], str] | str], layers: Sequence[int], point: Point
    ) -> np.ndarray:
        """The residual stream of the unsteered model at one point of each text.

        Args:
            texts: `last` of a text without a reply is the last prompt token; `mean` of it is NaN.
            layers: Indices of the blocks at whose outputs it is read, all in one pass.
            point: Where in the text. All of a string is its reply.

        Returns:
            float32 `[len(layers), len(texts), d_model]`.
        """

    def stream(self, text: tuple[tuple[Message, ...], str] | str, layer: int, least: int = 0) -> np.ndarray:
        """The residual stream at every token of the reply, or of a string: float32 `[tokens, d_model]`.

        Args:
            text: What is read.
            layer: Index of the block.
            least: Fill up with tokens of a space until there are so many.
        """


@dataclass(frozen=True)
class ReftForm:
    """How a rank-one representation finetuning changes the stream x, with u its parameters' first d_model as a unit.

    Attributes:
        kind: `r1`: x + (mean of the text's k largest latents) u, a latent being max(u·x, 0) at a token; its parameters
            are u alone. `loreft`: x + (r·x + b) u; its parameters are u, r and b, `[2 d_model + 1]`.
        top: k of `r1`.
        sparsity: Of `r1`: nats for each unit of the mean latent outside the k largest.
    """

    kind: Literal["r1", "loreft"]
    top: int = 16
    sparsity: float = 0.0


@runtime_checkable
class TrainableEndpoint(SteerableEndpoint, Protocol):
    """An endpoint on which vectors and rank-one changes can be trained."""

    def likelihood_under(
        self, texts: Sequence[tuple[tuple[Message, ...], str]], layer: int, vector: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Log-likelihood of each response with a vector added at every token, and its gradient by that vector.

        Args:
            texts: Pairs of messages and the response to them.
            layer: Index of the block at whose output it is added.
            vector: `[d_model]`.

        Returns:
            Sums over each response's tokens, nats: float32 `[len(texts)]`; gradients: float32 `[len(texts), d_model]`.
        """

    def reft_objective(
        self, texts: Sequence[tuple[tuple[Message, ...], str]], layer: int, form: ReftForm, parameters: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What representation finetuning makes large, of each response, and its gradient by the parameters.

        Args:
            texts: Pairs of messages and the response to them.
            layer: Index of the block whose output is changed at every token.
            form: How.
            parameters: As `form` has them.

        Returns:
            Mean log-likelihood per token of each response less what its latents cost, nats: float32 `[len(texts)]`;
            gradients: float32 `[len(texts), parameters]`.
        """


@runtime_checkable
class FeatureEndpoint(SteerableEndpoint, Protocol):
    """An endpoint with an SAE at one block; the ones with `features` in `can`."""

    @property
    def sae_identity(self) -> str:
        """Name and hash of the SAE: what `FeatureEdit.sae` has to be."""

    @property
    def sae_layer(self) -> int:
        """The block whose output the SAE reads."""

    @property
    def features(self) -> int:
        """How many features the SAE has."""

    def directions(self, features: Sequence[int]) -> np.ndarray:
        """Decoder directions: float32 `[len(features), d_model]`, in units of the residual stream per activation."""

    @property
    def scales(self) -> np.ndarray:
        """Typical maximum activation of each feature, 0 where it is dead: float32 `[features]`."""

    def label(self, feature: int) -> str:
        """What the feature is, as a phrase for people."""

    def relevance(self, text: str) -> np.ndarray:
        """How near each feature's label comes to `text` in meaning: float32 `[features]` in [-1, 1]."""

    def feature_means(self, texts: Sequence[tuple[tuple[Message, ...], str]]) -> np.ndarray:
        """Mean activation of every feature over the response tokens, zeros counted, in the unsteered model.

        Args:
            texts: Pairs of messages and the response to them.

        Returns:
            float32 `[len(texts), features]`; a row is NaN where the response has no tokens.
        """

    def feature_maxima(self, texts: Sequence[tuple[tuple[Message, ...], str]]) -> np.ndarray:
        """Largest activation of every feature over the response tokens, in the unsteered model.

        Args:
            texts: Pairs of messages and the response to them.

        Returns:
            float32 `[len(texts), features]`; a row is NaN where the response has no tokens.
        """


@runtime_checkable
class AutoEditing(Protocol):
    """An endpoint behind a service that itself makes edits from words."""

    def auto_edits(self, specification: str) -> tuple[FeatureEdit, ...]:
        """The service's own edits for a specification ("be funny"), at the strength it gives them."""


class Backend(Protocol):
    """A backend's settings (`conf/backend/*.yaml`). Importing the class must not import torch or a client."""

    @property
    def name(self) -> str:
        """The name of its YAML file, for messages."""

    def lacks(self, model: ModelSpec, needs: frozenset[Capability]) -> list[str]:
        """What is missing *here* to run `model` with `needs`, one thing a sentence; empty if it can run now.

        Spends nothing and loads nothing: it is called while the configuration is checked.

        Args:
            model: The model to run.
            needs: What the study asks of it.
        """

    def open(self, model: ModelSpec) -> Endpoint:
        """Load the model, or connect to it.

        Raises:
            UnavailableError: It cannot run here, in the words of `lacks`.
        """
