"""Schemathesis: whatever the schema allows, and what it does not, is answered as the schema says."""

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from schemathesis.specs.openapi.schemas import OpenApiSchema

from mmpt.search.library import VideoLibrary
from mmpt.server.app import build_app
from mmpt.server.settings import Settings

EXAMPLES = 50  # of each route and kind; a bounded time
PATHS = build_app(VideoLibrary("no-library"), Settings(uploads=Path("no-uploads"))).openapi()["paths"]
# What a schema cannot say: that q and like exclude each other, and how a video's file begins.
UNSAID = {path: [positive_data_acceptance] for path in ("/api/search", "/api/curve", "/api/uploads")}
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
POSITIVE, NEGATIVE = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
ROUTES = [
    pytest.param(path, method, mode, id=f"{method} {path} {mode.value}")
    for path, methods in PATHS.items()
    for method, about in methods.items()
    for mode in (POSITIVE, NEGATIVE)
    if mode is POSITIVE or about.get("parameters")  # where nothing is asked for, nothing can be wrong
]


@pytest.fixture(scope="module")
def api_schema(site: tuple[str, Path]) -> OpenApiSchema:
    return schemathesis.openapi.from_url(f"{site[0]}/api/openapi.json")


@pytest.mark.parametrize(("path", "method", "mode"), ROUTES)
def test_every_route_answers_as_its_schema_says(
    api_schema: OpenApiSchema, path: str, method: str, mode: schemathesis.GenerationMode
):
    @given(case=api_schema[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=SLOW, database=None)
    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(timeout=20, excluded_checks=UNSAID.get(path, []))

    check()


def test_the_schema_is_whole_and_names_our_errors(api_schema: OpenApiSchema):
    raw = api_schema.raw_schema
    assert {"/api/search", "/api/videos", "/api/videos/{video_id}", "/api/curve", "/api/uploads"} <= set(raw["paths"])
    assert "HTTPValidationError" not in str(raw)
    for path, methods in raw["paths"].items():
        for method, about in methods.items():
            assert about["summary"] and about["description"], (method, path)
            assert {"401", "422", "429"} <= set(about["responses"]), (method, path)
