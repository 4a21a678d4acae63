"""Who is let in, and what a browser is told."""

import asyncio
import hashlib
import hmac
import re
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from mmpt.server import pages
from mmpt.server.errors import ProblemError
from mmpt.server.security import COOKIE, SESSION_SECONDS, Sessions, allowed_hosts
from mmpt.server.settings import Settings
from tests.server.conftest import Client
from tests.server.test_api import refused

TOKEN = "correct-horse-battery"
PAGES = ("/", "/page/app.js", "/page/style.css", "/login", "/docs", "/api/library", "/api/search?q=", "/nowhere")


@pytest.fixture
def guarded(serve: Client) -> TestClient:
    client = serve(token=TOKEN)
    client.follow_redirects = False
    return client


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_carries_the_headers_that_keep_a_browser_on_its_guard(client: TestClient, path: str):
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy and "data:" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers
    assert "server" not in headers
    assert headers["cache-control"]


def test_the_page_names_no_foreign_host_and_holds_no_inline_code():
    from mmpt.server.pages import ASSETS

    for name, asset in ASSETS.items():
        text = asset.content.decode().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|[\"'(]//", text), name
        assert "innerHTML" not in text and "insertAdjacentHTML" not in text and "eval(" not in text, name
        if name.endswith(".html"):
            assert "<style" not in text and " style=" not in text and " onclick=" not in text, name
            assert "<script>" not in text, name


OUR_HOSTS = [
    "localhost",
    "LOCALHOST:8000",
    "127.0.0.1:8000",
    "[::1]:8000",
    "192.168.1.5",
    "localhost.:80",
    "[::1]",
    "[0:0::1]:",
]
NOT_OUR_HOSTS = [
    *(
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.nip.io:8000",
        "",
        "a" * 300,
        "[::1].evil.com",
        "[::1]evil.com:80",
    ),
    *(
        "127.0.0.1:evil.com",
        "localhost:80:80",
        "localhost:80.evil.com",
        "user@localhost",
        "localhost@evil.com",
        "localhost/evil",
    ),
    *(
        "localhost..",
        "127.0.0.1.",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "127.0.0.01",
        "0.0.0.0",
        "[::]",
        "[0::0]",
        "[::ffff:0.0.0.0]",
        "::1",
        "[::1",
        "[::1%25eth0]",
    ),
    *(
        "[localhost]",
        "[127.0.0.1].evil.com",
        "localhost evil.com",
        "localhost,evil.com",
        "127.0.0.1:8000 ",
        "localhost:123456",
        "loc\xe4l",
    ),
]


@pytest.mark.parametrize("host", OUR_HOSTS)
def test_our_own_names_are_answered(client: TestClient, host: str):
    assert client.get("/api/library", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", NOT_OUR_HOSTS)
def test_other_names_are_refused_so_that_dns_rebinding_fails(client: TestClient, host: str):
    refused(client.get("/api/library", headers={b"Host": host.encode("latin-1")}), 421)
    refused(client.get("/", headers={b"Host": host.encode("latin-1")}), 421)


def test_two_host_headers_are_refused_even_where_one_is_ours(client: TestClient):
    refused(client.get("/api/library", headers=[("Host", "localhost"), ("Host", "evil.example")]), 421)


def test_a_name_that_a_proxy_passes_on_is_refused_with_the_option_that_allows_it(client: TestClient):
    told = refused(client.get("/", headers={"Host": "Videos.example.org:8443"}), 421)
    assert "--allow-host videos.example.org" in told["hint"]


@pytest.mark.parametrize(
    "name", ["Videos.LAN", "videos.lan.", "b\xfccher.example", "under_score", "fe80::1", "[::1]", "10.0.0.1"]
)
def test_names_that_may_be_allowed(name: str):
    Settings(hosts=(name,)).check()


@pytest.mark.parametrize(
    "name", ["https://videos.lan", "videos.lan:8443", "videos.lan/x", "*", "*.lan", "", ".lan", "a b", "\udcff"]
)
def test_what_is_no_host_name_is_told_and_not_allowed(name: str):
    with pytest.raises(ValueError, match="not the name of a host"):
        Settings(hosts=(name,)).check()


def test_an_international_name_is_answered_as_browsers_send_it(serve: Client):
    client = serve(hosts=("B\xfccher.example",))
    assert client.get("/api/library", headers={"Host": "xn--bcher-kva.example"}).status_code == 200


def test_a_name_can_be_allowed(serve: Client):
    client = serve(hosts=("videos.lan",))
    assert client.get("/api/library", headers={"Host": "Videos.LAN:8000"}).status_code == 200


def test_off_loopback_the_machines_own_name_is_one_of_ours():
    import socket

    assert socket.gethostname().lower() in allowed_hosts(Settings(host="0.0.0.0", token=TOKEN))
    assert allowed_hosts(Settings()) == {"localhost"}


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pages_of_other_sites_cannot_use_the_api(client: TestClient, site: str):
    refused(client.get("/api/search", params={"q": "dog"}, headers={"Sec-Fetch-Site": site}), 403)
    assert client.get("/", headers={"Sec-Fetch-Site": site}).status_code == 200  # a link to the page is no attack


def test_another_origin_cannot_send_anything(serve: Client, tmp_path: Path):
    client = serve(uploads=tmp_path / "uploads")
    refused(client.post("/api/uploads", content=b"x", headers={"Origin": "http://evil.example", "X-Mmpt": "1"}), 403)
    refused(client.post("/api/uploads", content=b"x", headers={"Origin": "null", "X-Mmpt": "1"}), 403)
    refused(client.post("/api/uploads", content=b"x"), 403)  # as a form of another site could send it
    refused(client.post("/login", data={"token": "x"}, headers={"Origin": "http://evil.example"}), 403)


def test_an_upload_through_a_proxy_that_rewrites_the_host_is_refused_with_the_remedy(serve: Client, tmp_path: Path):
    client = serve(uploads=tmp_path / "uploads")
    sent = {"Origin": "https://videos.example.org", "X-Mmpt": "1", "Host": "127.0.0.1:8000"}
    for path in ("/api/uploads", "/login"):
        told = refused(client.post(path, content=b"x", headers=sent), 403)
        assert "--allow-host videos.example.org" in told["hint"] and "proxy_set_header Host" in told["hint"]
    refused(client.post("/api/uploads", content=b"x", headers={**sent, "Sec-Fetch-Site": "cross-site"}), 403)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "videos.example.org"])  # rewritten, or kept without the port
def test_an_origin_that_is_allowed_by_name_may_send(serve: Client, tmp_path: Path, host: str):
    client = serve(uploads=tmp_path / "uploads", hosts=("videos.example.org",))
    sent = {"Origin": "https://Videos.example.org:8443", "X-Mmpt": "1", "Host": host}
    refused(client.post("/api/uploads", content=b"no video", headers=sent), 415)
    for other in (
        "https://videos.example.org.evil.com",
        "https://evil.com/videos.example.org",
        "videos.example.org",
        "null",
    ):
        refused(client.post("/api/uploads", content=b"x", headers={**sent, "Origin": other}), 403)


def test_without_the_token_nothing_of_the_library_is_told(guarded: TestClient):
    for path in ("/api/library", "/api/search?q=dog", "/api/videos", "/api/metrics", "/api/openapi.json"):
        answer = guarded.get(path)
        refused(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"
    assert guarded.get("/api/health").json() == {"status": "ok"}
    assert guarded.get("/?q=dog").headers["location"] == "./login?q=dog"
    assert guarded.get("/docs").headers["location"] == "./login"


@pytest.mark.parametrize("given", ["Bearer wrong-wrong-wrong", "Bearer ", "Basic " + TOKEN, TOKEN, "Bearer \xe9"])
def test_a_wrong_token_is_refused(guarded: TestClient, given: str):
    refused(guarded.get("/api/library", headers={b"Authorization": given.encode("latin-1")}), 401)


def test_the_token_opens_by_header(guarded: TestClient):
    assert guarded.get("/api/library", headers={"Authorization": f"Bearer {TOKEN}"}).json()["token"] is True


def test_a_login_gives_a_cookie_that_is_not_the_token(guarded: TestClient):
    answer = guarded.post("/login?q=dog", data={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "./?q=dog")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and TOKEN not in cookie
    assert guarded.get("/api/library").status_code == 200
    assert guarded.get("/").status_code == 200
    guarded.cookies.clear()
    refused(guarded.get("/api/library"), 401)


def test_guessing_is_slowed_down(guarded: TestClient):
    statuses = [guarded.post("/login", data={"token": f"guess-{number}"}).status_code for number in range(7)]
    assert statuses == [401] * 5 + [429] * 2
    assert guarded.post("/login", content=b"token=" + b"x" * 10_000).status_code in (413, 429)


def test_many_wrong_bearer_tokens_are_slowed_down_and_lock_nobody_out(guarded: TestClient):
    wrong = [{"Authorization": f"Bearer guess-number-{number}"} for number in range(1500)]
    answers = [guarded.get("/api/library", headers=headers) for headers in wrong]
    statuses = [answer.status_code for answer in answers]
    assert statuses[:5] == [401] * 5 and statuses.count(429) >= 1490
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert guarded.post("/login", data={"token": "guess"}).status_code == 429  # one limit for both ways in
    for _ in range(3):  # who has the token, at the same address, is let in
        assert guarded.get("/api/library", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert guarded.post("/login", data={"token": TOKEN}).status_code == 303
    assert guarded.get("/api/library").status_code == 200
    assert guarded.get("/api/health").status_code == 200


def test_a_request_without_a_token_is_no_guess(guarded: TestClient):
    answers = [guarded.get("/api/library", headers=headers) for headers in [{}, {"Authorization": "Basic eA=="}] * 10]
    assert [answer.status_code for answer in answers] == [401] * 20
    assert guarded.get("/").status_code == 303


@pytest.mark.parametrize(
    ("headers", "secure"),
    [
        ({}, False),
        ({"X-Forwarded-Proto": "https"}, True),
        ({"X-Forwarded-Proto": "HTTPS, http"}, True),
        ({"X-Forwarded-Proto": "http"}, False),
        ({"Origin": "https://localhost"}, True),
    ],
)
def test_the_cookie_is_kept_to_tls_where_the_browser_speaks_it(guarded: TestClient, headers: dict, secure: bool):
    cookie = guarded.post("/login", data={"token": TOKEN}, headers=headers).headers["set-cookie"]
    assert ("Secure" in cookie) is secure
    assert "Path" not in cookie  # so that it is kept for the folder of the form, below whatever path a proxy shows it


def test_a_session_is_known_among_cookies_of_others(guarded: TestClient):
    session = Sessions(TOKEN).new()
    for cookie in (f"{COOKIE}=of.another.server; {COOKIE}={session}", f'a=[b]"; {COOKIE}={session}; {COOKIE}=x.y.z'):
        assert guarded.get("/api/library", headers={"Cookie": cookie}).status_code == 200


def test_a_form_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pages, "FORM_SECONDS", 0.05)

    async def receive() -> dict:
        await asyncio.sleep(60)
        return {}

    with pytest.raises(ProblemError) as caught:
        asyncio.run(pages._form(Request({"type": "http", "method": "POST", "headers": []}, receive)))
    assert caught.value.status == 400


def test_a_session_ends_and_cannot_be_made_up():
    sessions, others = Sessions(TOKEN), Sessions("another-token-entirely")
    session = sessions.new(now=1000.0)
    assert sessions.valid(session, now=1000.0 + SESSION_SECONDS - 1)
    assert not sessions.valid(session, now=1000.0 + SESSION_SECONDS + 1)
    assert not others.valid(session, now=1000.0)
    body, _, signature = session.rpartition(".")
    longer = f"{10**12}.{body.partition('.')[2]}.{signature}"
    for forged in ("", ".", "..", longer, body, session + "0", "\udcff", signature):
        assert not sessions.valid(forged, now=1000.0), forged


def test_a_guess_by_cookie_costs_more_than_a_hash(guarded: TestClient):
    body, key = f"{10**12}.0", hashlib.sha256(b"mmpt session\0" + TOKEN.encode()).digest()
    forged = f"{body}.{hmac.new(key, body.encode(), hashlib.sha256).hexdigest()}"  # as fast to make as to send
    refused(guarded.get("/api/library", headers={"Cookie": f"{COOKIE}={forged}"}), 401)


def test_a_hostile_cookie_is_no_cookie(guarded: TestClient):
    for cookie in (f"{COOKIE}=", f'{COOKIE}="', "=;=;", f"{COOKIE}=a.b.c; {COOKIE}=x", "\xff\xfe"):
        refused(guarded.get("/api/library", headers={b"Cookie": cookie.encode("latin-1")}), 401)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(host="0.0.0.0"), "MMPT_TOKEN"),
        (Settings(host="192.168.1.5"), "MMPT_TOKEN"),
        (Settings(host="::"), "MMPT_TOKEN"),
        (Settings(token="short"), "at least 12"),
        (Settings(token="with spaces in it"), "spaces"),
    ],
)
def test_unsafe_settings_are_refused_with_what_to_do(settings: Settings, words: str):
    with pytest.raises(ValueError, match=words):
        settings.check()


def test_safe_settings_pass():
    for settings in (Settings(), Settings(host="::1"), Settings(host="localhost"), Settings(host="::", token=TOKEN)):
        settings.check()
