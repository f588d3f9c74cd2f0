"""Goodfire's endpoints for features, attribution and tokens, as SDK 0.3.5 calls them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any
from uuid import UUID

import numpy as np
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from mindgap.ember import inspection
from mindgap.ember.controllers import compiled
from mindgap.ember.errors import RequestError
from mindgap.ember.schemas import (
    MOST_FEATURES,
    AttributionRequest,
    ChatMessage,
    ComputeFeaturesRequest,
    ContrastiveDatasetRequest,
    ContrastRequest,
    LogitsRequest,
    LookupRequest,
    NeighborsRequest,
    RerankRequest,
    SpecificationRequest,
    TokenizeRequest,
    Words,
)
from mindgap.ember.service import Service
from mindgap.ember.steering import contrasted, messages_of

Json = dict[str, Any]


def router(service: Service) -> APIRouter:
    routes = APIRouter()
    _features(routes, service)
    _steering(routes, service)
    _reading(routes, service)
    return routes


def _features(routes: APIRouter, service: Service) -> None:
    @routes.get("/features/search")
    async def search(
        query: Annotated[Words, Query()],
        model: str,
        page: Annotated[int, Query(ge=1, le=10_000)] = 1,
        per_page: Annotated[int, Query(alias="perPage", ge=1, le=MOST_FEATURES)] = 10,
    ) -> Json:
        service.check_model(model)
        features = service.with_features
        return {"features": await service.aside(lambda: features.search(query, (page - 1) * per_page, per_page))}

    @routes.post("/features/rerank")
    async def rerank(body: RerankRequest) -> Json:
        service.check_model(body.model)
        features = service.with_features
        indices = [features.index_of(uuid) for uuid in body.feature_ids]
        return {"features": await service.aside(lambda: features.ranked(indices, body.query, body.top_k))}

    @routes.post("/features/lookup")
    async def lookup(body: LookupRequest) -> Json:
        service.check_model(body.model)
        features = service.with_features
        features_asked = [features.described(features.check(index)) for index in body.indices]
        return {"features": [{**feature, "uuid": feature["id"]} for feature in features_asked]}

    @routes.get("/features/")
    async def listed(feature_id: Annotated[list[UUID], Query(min_length=1, max_length=MOST_FEATURES)]) -> Json:
        features = service.with_features
        return {"features": [features.described(features.index_of(uuid)) for uuid in feature_id]}

    @routes.post("/attributions/neighbors")
    async def neighbors(body: NeighborsRequest) -> Json:
        service.check_model(body.model)
        features = service.with_features
        indices = [features.check(index) for index in body.feature_indices]
        return {"neighbors": await service.aside(lambda: features.neighbours(indices, body.top_k))}


def _steering(routes: APIRouter, service: Service) -> None:
    @routes.post("/features/auto-edits")
    async def auto_edits(body: SpecificationRequest) -> Json:
        service.check_model(body.model)
        features, edits = service.with_features, await service.with_maker.edits(body.specification)
        return {"edits": [[features.described(edit.feature), edit.offset] for edit in edits]}

    @routes.post("/features/auto-conditional")
    async def auto_conditional(body: SpecificationRequest) -> Json:
        service.check_model(body.model)
        features, cues = service.with_features, await service.with_maker.cues(body.specification)
        conditionals = []
        for cue in cues:
            described = features.described(cue.feature)
            group = {"features": [{**described, "uuid": described["id"]}]}
            conditionals.append({"left_hand": group, "right_hand": cue.threshold, "operator": ">"})
        return {"conditional": {"conditionals": conditionals, "operator": "OR"}}

    @routes.post("/attributions/generate-contrastive-dataset")
    async def contrastive(body: ContrastiveDatasetRequest) -> list[list[list[dict[str, str]]]]:
        halves = await service.with_maker.contrastive(body.specification)
        return [[messages_of(text) for text in half] for half in halves]

    @routes.post("/chat-attribution/contrast")
    async def contrast(request: Request, body: ContrastRequest) -> Json:
        service.check_model(body.model)
        features = service.with_features
        if len(body.dataset_1) != len(body.dataset_2):
            raise RequestError(400, "dataset_1 and dataset_2 must have the same length")
        spans = [await _span(service, messages) for messages in (*body.dataset_1, *body.dataset_2)]
        means = await service.done(request, inspection.mean_features(service.endpoint.engine, spans))
        clear = contrasted(means[: len(body.dataset_1)], means[len(body.dataset_1) :], features.scales)

        def best(clearness: np.ndarray, count: int) -> list[Json]:
            order = np.argsort(-clearness, kind="stable")[:count]
            return [features.described(int(index)) for index in order if clearness[index] > 0]

        return {
            "dataset_1_features": best(-clear, body.k_to_remove),
            "dataset_2_features": best(clear, body.k_to_add),
        }


def _reading(routes: APIRouter, service: Service) -> None:
    engine = service.endpoint.engine

    @routes.post("/chat/tokenize")
    async def tokenize(body: TokenizeRequest) -> Json:
        service.check_model(body.model)
        tokens = await service.tokens(body.messages)
        texts = inspection.pieces(service.tokenizer, tokens)
        return {"tokens": [{"id": token, "value": text} for token, text in zip(tokens, texts, strict=True)]}

    @routes.post("/chat-attribution/compute-features")
    async def compute_features(request: Request, body: ComputeFeaturesRequest) -> Response:
        service.check_model(body.model)
        features = service.with_features
        edits = compiled(body.controller, features).edits
        chosen = body.include_feature_indexes
        wanted = None if chosen is None else frozenset(features.check(index) for index in chosen)
        tokens = await service.tokens(body.messages)
        active_by_token = await service.done(
            request, inspection.token_features(engine, tokens, edits, features.scales, wanted)
        )

        def strengths(active: Iterable[tuple[int, float]]) -> list[Json]:
            return [
                {"id": str(features.uuid(feature)), "index_in_sae": feature, "activation_strength": strength}
                for feature, strength in active
            ]

        def told() -> str:
            texts = inspection.pieces(service.tokenizer, tokens)
            listed = [
                {"token": text, "attributions": strengths(active)}
                for text, active in zip(texts, active_by_token, strict=True)
            ]
            aggregated = strengths(inspection.aggregated(active_by_token, body.aggregate_by))
            return json.dumps({"tokens": listed, "features": aggregated})

        # A long conversation makes megabytes: not in the event loop.
        return Response(await service.aside(told), media_type="application/json")

    @routes.post("/chat-attribution/compute-logits")
    async def compute_logits(request: Request, body: LogitsRequest) -> Json:
        service.check_model(body.model)
        edits = compiled(body.controller, service.features).edits
        tokens = await service.tokens(body.messages)
        logits = await service.done(request, inspection.once(lambda: inspection.next_logits(engine, tokens, edits)))
        return {"logits": await service.aside(lambda: _by_text(service, logits, body))}

    @routes.post("/attributions/compute-logit-attribution")
    async def logit_attribution(request: Request, body: AttributionRequest) -> Json:
        service.check_model(body.model)
        features = service.with_features
        tokens = await service.tokens(body.messages)
        if not 1 <= body.start_index <= body.end_index < len(tokens):
            raise RequestError(
                400,
                f"startIndex={body.start_index}, endIndex={body.end_index}: the conversation has tokens 0 to "
                f"{len(tokens) - 1}, and nothing comes before token 0 that could explain it.",
            )
        attributions = await service.done(
            request, inspection.attribution(engine, tokens, body.start_index, body.end_index)
        )
        to_ablate = [
            {
                "id": str(features.uuid(feature)),
                "index_in_sae": feature,
                "value": part,
                "tokens": [
                    {"index": place, "activation_strength": activation / float(features.scales[feature] or 1)}
                    for place, activation in places
                ],
            }
            for feature, part, places in attributions
        ]
        return {"to_ablate": to_ablate, "num_input_tokens": len(tokens)}


async def _span(service: Service, messages: list[ChatMessage]) -> tuple[list[int], int]:
    """A conversation and where what the assistant said last begins in it; 0 if it did not speak last."""
    tokens = await service.tokens(messages)
    if messages[-1].role != "assistant" or len(messages) == 1:
        return tokens, 0
    start = len(await service.tokens(messages[:-1], reply=True))
    if start == len(tokens):
        raise RequestError(400, "A conversation ends with an empty message: there is nothing to contrast.")
    return tokens, start


def _by_text(service: Service, logits: np.ndarray, body: LogitsRequest) -> dict[str, float]:
    """Logits by the text of their tokens, largest first. Of tokens that read alike the likelier counts.

    A word of `filter_vocabulary` that is no single token has no logit, and is left out.
    """
    wanted = None if body.filter_vocabulary is None else frozenset(body.filter_vocabulary)
    logit_by_text: dict[str, float] = {}
    for token in np.argsort(-logits, kind="stable"):
        if body.top_k is not None and len(logit_by_text) == body.top_k:
            break
        text = service.tokenizer.decode([int(token)])
        if text not in logit_by_text and (wanted is None or text in wanted):
            logit_by_text[text] = float(logits[token])
    return logit_by_text
