"""Fitting a sparse autoencoder: BatchTopK (Bussmann et al. 2024, arXiv 2412.06410), kept as a jump ReLU.

In a batch only the k × batch largest activations live, so a token has k on average and as many as it needs. What the
finished SAE needs no batch for: the smallest activation that lived, averaged over the last batches, becomes its
threshold.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from mindgap.core.errors import ConfigError
from mindgap.sae.sae import SAE
from mindgap.training.settings import FitSettings


class Fit:
    """A fit in progress: parameters, Adam's moments and counters. `save` and `restore` keep all of it."""

    def __init__(self, data: np.ndarray, settings: FitSettings, device: torch.device) -> None:
        self.data, self.settings, self.device = data, settings, device
        self.steps = settings.epochs * (len(data) // settings.batch)
        if self.steps == 0:
            raise ConfigError(f"{len(data)} tokens are fewer than a batch of {settings.batch}: give more text")
        sample = torch.tensor(data[:: max(1, len(data) // 65536)], dtype=torch.float32)
        mean = sample.mean(0)
        # The mean squared length becomes d_model, so that one learning rate suits every layer of every model.
        self.input_scale = float((sample.shape[1] / (sample - mean).square().sum(1).mean()).sqrt())
        self.step = 0
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)  # the permutation of the epoch under way
        self.last_active = torch.zeros(settings.features, dtype=torch.long, device=device)
        self.threshold = torch.zeros((), device=device)
        generator = torch.Generator().manual_seed(settings.seed)
        directions = sample[torch.randint(len(sample), (settings.features,), generator=generator)] - mean
        directions += directions.norm(dim=1, keepdim=True) * torch.randn(directions.shape, generator=generator) / 24
        decoder = torch.nn.functional.normalize(directions, dim=1).to(device)
        self.parameters = {
            "encoder": decoder.clone() * 0.5,
            "encoder_bias": torch.zeros(settings.features, device=device),
            "decoder": decoder,
            "decoder_bias": (mean * self.input_scale).to(device),
        }
        for parameter in self.parameters.values():
            parameter.requires_grad_()
        self.adam = torch.optim.Adam(self.parameters.values(), lr=settings.learning_rate, fused=True)

    def run(self, on_step: Callable[[int, float], None], checkpoint: Path, every: int = 250) -> None:
        """Fit to the end, from wherever `restore` left it. `on_step` is told the step and the unexplained share."""
        while self.step < self.steps:
            unexplained = self._one_step()
            self.step += 1
            if self.step % self.settings.check_every == 0 and self.step < 0.6 * self.steps:
                self._revive()
            if self.step % every == 0 or self.step == self.steps:
                self.save(checkpoint)
            on_step(self.step, unexplained)

    def _batch(self, step: int) -> torch.Tensor:
        """The tokens of a step, from a permutation of each epoch that the seed fixes: `[batch, d_model]`, scaled."""
        steps = self.steps // self.settings.epochs
        epoch, place = divmod(step, steps)
        if self._epoch != epoch:
            self._epoch = epoch
            self._order = np.random.default_rng([self.settings.seed, epoch]).permutation(len(self.data))
        rows = np.sort(self._order[place * self.settings.batch : (place + 1) * self.settings.batch])
        return torch.tensor(self.data[rows], dtype=torch.float32).to(self.device) * self.input_scale

    def _one_step(self) -> float:
        x = self._batch(self.step)
        p = self.parameters
        pre = torch.addmm(p["encoder_bias"], x - p["decoder_bias"], p["encoder"].T)
        least = _kept_above(pre.detach(), self.settings.k / self.settings.features)
        activations = torch.where(pre > least, pre, 0)
        error = torch.addmm(p["decoder_bias"], activations, p["decoder"]) - x
        loss = error.square().sum(1).mean()
        self.adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            decoder, gradient = p["decoder"], p["decoder"].grad
            assert gradient is not None
            gradient -= (gradient * decoder).sum(1, keepdim=True) * decoder  # along the sphere of unit rows
            torch.nn.utils.clip_grad_norm_(list(p.values()), 1.0)
            for group in self.adam.param_groups:
                group["lr"] = self.settings.learning_rate * self._schedule()
            self.adam.step()
            decoder /= decoder.norm(dim=1, keepdim=True)
            self.last_active[(activations > 0).any(0)] = self.step
            self.threshold = least if self.step == 0 else 0.99 * self.threshold + 0.01 * least
            spread = (x - x.mean(0)).square().sum(1).mean()
        return float(loss.detach() / spread)

    def _schedule(self) -> float:
        done = self.step / self.steps
        return min(1.0, (done + 1 / self.steps) / 0.02, (1 - done) / 0.2)

    @torch.no_grad()
    def _revive(self) -> None:
        """Features that lived in no batch since the last look start anew, each on a token that is badly explained."""
        dead = (self.last_active <= self.step - self.settings.check_every).nonzero()[:, 0]
        if not len(dead):
            return
        x = self._batch(self.step - 1)
        p = self.parameters
        pre = torch.addmm(p["encoder_bias"], x - p["decoder_bias"], p["encoder"].T)
        activations = torch.where(pre > self.threshold, pre, 0)
        error = x - torch.addmm(p["decoder_bias"], activations, p["decoder"])
        generator = torch.Generator().manual_seed(self.settings.seed + self.step)
        weights = error.square().sum(1).cpu()
        chosen = torch.multinomial(weights, len(dead), replacement=len(dead) > len(weights), generator=generator)
        directions = torch.nn.functional.normalize(error[chosen.to(self.device)], dim=1)
        alive = torch.ones(len(pre[0]), dtype=torch.bool, device=self.device)
        alive[dead] = False
        length = p["encoder"][alive].norm(dim=1).mean() if alive.any() else 0.5
        p["encoder"][dead] = directions * length * 0.5
        p["encoder_bias"][dead] = 0
        p["decoder"][dead] = directions
        for name in ("encoder", "encoder_bias", "decoder"):
            for moment in ("exp_avg", "exp_avg_sq"):
                self.adam.state[p[name]][moment][dead] = 0

    def sae(self, name: str, layer: int) -> SAE:
        """What has been fitted so far, in the units of the residual stream, on the CPU."""
        p = {key: value.detach().cpu() for key, value in self.parameters.items()}
        return SAE(
            identity=name,
            layer=layer,
            architecture="jumprelu",
            encoder=p["encoder"],
            encoder_bias=p["encoder_bias"],
            decoder=p["decoder"],
            decoder_bias=p["decoder_bias"] / self.input_scale,
            centred=True,
            threshold=self.threshold.cpu().repeat(self.settings.features),
            input_scale=self.input_scale,
        )

    def save(self, path: Path) -> None:
        """Write everything that `restore` needs; a kill leaves the one before."""
        from safetensors.torch import save_file

        tensors = {f"parameter.{name}": value.detach() for name, value in self.parameters.items()}
        for name, value in self.parameters.items():
            for moment in ("exp_avg", "exp_avg_sq", "step"):
                tensors[f"{moment}.{name}"] = self.adam.state[value][moment]
        tensors |= {"last_active": self.last_active, "threshold": self.threshold}
        unfinished = path.with_suffix(".unfinished")
        save_file(
            {name: tensor.contiguous() for name, tensor in tensors.items()},
            unfinished,
            metadata={"fit": json.dumps(self._what() | {"step": self.step})},
        )
        unfinished.replace(path)

    def restore(self, path: Path) -> bool:
        """Take over the state in `path` if it is one of these settings on these tokens; whether it was."""
        from safetensors import safe_open

        if not path.exists():
            return False
        with safe_open(path, framework="pt", device=str(self.device)) as file:
            notes = json.loads(file.metadata()["fit"])
            step = notes.pop("step")
            if notes != self._what():
                return False
            with torch.no_grad():
                for name, value in self.parameters.items():
                    value.copy_(file.get_tensor(f"parameter.{name}"))
                    self.adam.state[value] = {
                        moment: file.get_tensor(f"{moment}.{name}") for moment in ("exp_avg", "exp_avg_sq", "step")
                    }
            self.last_active, self.threshold = file.get_tensor("last_active"), file.get_tensor("threshold")
        self.step = step
        return True

    def _what(self) -> dict[str, object]:
        return {"settings": asdict(self.settings), "tokens": len(self.data), "input_scale": self.input_scale}


def _kept_above(pre: torch.Tensor, share: float) -> torch.Tensor:
    """The value that `share` of all entries of `pre` `[batch, features]` lie above; never below 0.

    Read off every 16th token: a quantile of a million entries is as good as that of all, and much faster.
    """
    entries = pre[::16].flatten() if len(pre) >= 512 else pre.flatten()
    rank = max(1, entries.numel() - round(share * entries.numel()))
    return entries.kthvalue(rank).values.clamp(min=0)
