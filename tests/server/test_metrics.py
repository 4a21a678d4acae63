"""The text that Prometheus reads."""

import re

from mmpt.server.metrics import BUCKETS, Metrics

LINE = re.compile(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? -?[0-9.e+-]+')


def test_counts_and_times_add_up():
    metrics = Metrics()
    for seconds in (0.001, 0.2, 0.3, 99.0):
        metrics.request("GET", "/api/search", 200, seconds)
    metrics.request("GET", "/api/search", 429, 0.001)
    metrics.upload("added")
    text = metrics.text({"mmpt_videos": ("Videos.", 3)})
    assert text.endswith("mmpt_videos 3\n")
    for line in text.splitlines():
        assert line.startswith("# ") or LINE.fullmatch(line), line
    assert 'mmpt_requests_total{method="GET",route="/api/search",status="200"} 4' in text
    assert 'mmpt_requests_total{method="GET",route="/api/search",status="429"} 1' in text
    assert 'mmpt_request_seconds_bucket{route="/api/search",le="0.3"} 4' in text  # a bound counts what equals it
    assert 'mmpt_request_seconds_bucket{route="/api/search",le="+Inf"} 5' in text
    assert 'mmpt_request_seconds_count{route="/api/search"} 5' in text
    assert 'mmpt_uploads_total{result="added"} 1' in text


def test_buckets_grow():
    metrics = Metrics()
    for bound in BUCKETS:
        metrics.request("GET", "/", 200, bound)
    counts = [int(line.split()[-1]) for line in metrics.text({}).splitlines() if "_bucket" in line]
    assert counts == [*range(1, len(BUCKETS) + 1), len(BUCKETS)]
