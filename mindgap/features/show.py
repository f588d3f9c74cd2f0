"""Features on a terminal. Where there are no colours, the activating token stands between « and »."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mindgap.sae.catalogue import Catalogue, Context, Feature
from mindgap.sae.labels import CLEAR, marked

SHADES = ((0.999, "bold black on bright_yellow"), (0.5, "black on yellow"), (0.15, "yellow"))
"""Style of a token from each share of the context's peak on."""


def print_overview(console: Console, catalogue: Catalogue) -> None:
    """A line on the SAE as a whole."""
    live = int(catalogue.live.sum())
    about = catalogue.about
    console.print(
        f"{catalogue.sae}: {live} of {catalogue.features} features active on {about['tokens']:,} tokens of "
        f"{about['texts']:,} texts, {catalogue.density.sum():.1f} at a time",
        markup=False,
        soft_wrap=True,
    )


def print_features(
    console: Console, catalogue: Catalogue, indices: Sequence[int], scores: Sequence[float] | None = None
) -> None:
    """A row for each feature, in the order given; scores: relevance of each to what was searched for."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("feature", justify="right", no_wrap=True)
    if scores is not None:
        table.add_column("relevance", justify="right", no_wrap=True)
    table.add_column("label")
    table.add_column("density", justify="right", no_wrap=True)
    table.add_column("scale", justify="right", no_wrap=True)
    table.add_column("strongest at")
    for place, index in enumerate(indices):
        feature = catalogue.feature(index)
        row = [Text(str(index))]
        row += [Text(f"{scores[place]:.2f}")] if scores is not None else []
        row += [Text(feature.label), Text(percent(feature.density)), Text(f"{feature.scale:.3g}")]
        row += [_context(console, _around(feature.contexts[0])) if feature.contexts else Text("")]
        table.add_row(*row)
    console.print(table)


def print_feature(console: Console, feature: Feature) -> None:
    """Everything that is known of one feature."""
    if not feature.contexts:
        console.print(f"feature {feature.index}: never active on the texts that were read\n", markup=False)
        return
    console.print(Text.assemble(f"feature {feature.index}  ", (feature.label, "bold")), soft_wrap=True)
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim")
    table.add_column()
    table.add_row("density", f"{percent(feature.density)} of tokens")
    table.add_row("scale", f"{feature.scale:.4g}, its typical maximum activation: strength 1 adds so much of it")
    unclear = "" if feature.promotion >= CLEAR else "   (no more than a random direction does)"
    table.add_row("promotes", _tokens(feature.promoted) + Text(unclear, "dim"))
    table.add_row("demotes", _tokens(feature.demoted))
    table.add_row("words", Text(", ".join(feature.words) or "none in particular"))
    for manner in feature.manners:
        table.add_row("manner", Text(f"{manner.manner}: {manner.lift:.1f} times as active (z {manner.z:.1f})"))
    table.add_row("label by", Text(feature.labeller))
    console.print(table)
    contexts = Table(box=SIMPLE_HEAD)
    contexts.add_column("activation", justify="right", no_wrap=True)
    contexts.add_column("context")
    for context in feature.contexts:
        contexts.add_row(f"{context.activation:.3g}", _context(console, context))
    console.print(contexts)


def percent(share: float) -> str:
    """A share of tokens with two digits that say something."""
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"


def _tokens(tokens: Sequence[str]) -> Text:
    return Text("  ".join(repr(token)[1:-1] if token.strip() != token.lstrip(" ") else token for token in tokens))


def _around(context: Context, before: int = 6, after: int = 3) -> Context:
    """The middle of a context."""
    first, last = max(0, context.at - before), context.at + after + 1
    return Context(context.pieces[first:last], context.at - first, context.activation, context.activations[first:last])


def _context(console: Console, context: Context) -> Text:
    if console.color_system is None:
        return Text(marked(context))
    text = Text()
    for piece, activation in zip(context.pieces, context.activations, strict=True):
        share = activation / context.activation if context.activation else 0.0
        style = next((style for least, style in SHADES if share >= least), "")
        text.append(piece.replace("\n", "⏎"), style)
    return text
