"""From edits of features to the SDK's controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from goodfire import Feature, Variant
from goodfire.controller.controller import Controller

from mindgap.core.edits import Edit, FeatureEdit


class Steered(Variant):
    """A model with a controller. The SDK's own variants cannot pin a feature's activation or multiply it."""

    def __init__(self, base_model: str, controller: Controller) -> None:
        super().__init__(base_model)
        self._made = controller

    @property
    def controller(self) -> Controller:
        return self._made


def indices(edits: Sequence[Edit], sae: str) -> tuple[int, ...]:
    """Which features `edits` are of.

    Raises ValueError for what the API cannot do, so that nothing is ever sent that steers otherwise than asked.

    Args:
        sae: Whose they have to be.
    """
    for edit in edits:
        if not isinstance(edit, FeatureEdit):
            raise ValueError("Goodfire's API steers by SAE features, not by vectors")
        if edit.sae != sae:
            raise ValueError(f"feature {edit.feature} is of another SAE ({edit.sae}) than the server's ({sae})")
        if edit.positions != "all":
            raise ValueError("Goodfire's API steers prompt and response: set positions=all")
        if edit.when is not None:
            raise ValueError(f"the condition on feature {edit.feature} is not passed on to Goodfire's API")
    return tuple(dict.fromkeys(edit.feature for edit in edits if isinstance(edit, FeatureEdit)))


def steered(model: str, edits: Sequence[Edit], sae: str, features: Mapping[int, Feature]) -> Steered | str:
    """What `edits` make of `model`, for the SDK.

    An edit adds `(gain - 1) a + offset` to the activation a; all edits read the unedited one, so those of one feature
    add up, while the API's interventions act one after the other: it gets one change a feature. Values are in units of
    the feature's scale, here and there. Raises ValueError: see `indices`.

    Args:
        features: The SDK's, by index in the SAE.
    """
    changes = dict.fromkeys(indices(edits, sae), (1.0, 0.0))
    for edit in edits:
        assert isinstance(edit, FeatureEdit)
        gain, offset = changes[edit.feature]
        changes[edit.feature] = gain + float(edit.gain) - 1, offset + float(edit.offset)
    if not changes:
        return model
    controller = Controller()
    for index, (gain, offset) in changes.items():
        feature = features[index]
        if gain == 0:
            controller[feature] = offset
            continue
        if gain != 1:
            controller[feature] *= gain
        controller[feature] += offset
    return Steered(model, controller)
