"""Behind a proxy that shows the server below a path: every address that it gives leads back to it."""

import re
from collections.abc import Iterator
from urllib.parse import urljoin

import pytest
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from mmpt.server.settings import Settings
from tests.server.conftest import Client
from tests.server.test_security import TOKEN

PREFIX = "/videos"
SITE = f"https://videos.example.org{PREFIX}"
ADDRESS = re.compile(r"""(?:href|src)="([^"#]+)"|from "([^"]+)";""")
# What a proxy makes of an address, and what the server is told: taken off, taken off with the slash left, kept.
WAYS = {"off": "", "off but for the slash": "", "off and told": PREFIX, "kept": PREFIX}


class Proxy:
    """Shows an application below PREFIX, and nothing besides."""

    def __init__(self, app: ASGIApp, way: str) -> None:
        self.app, self.way = app, way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            assert scope["path"].startswith(PREFIX), f"asked for {scope['path']}, which leads to another server"
            rest = scope["path"][len(PREFIX) :] or "/"
            rest = f"/{rest}" if self.way == "off but for the slash" else rest
            scope = {**scope, "path": scope["path"] if self.way == "kept" else rest}
        await self.app(scope, receive, send)


@pytest.fixture(params=WAYS)
def below(request: pytest.FixtureRequest, serve: Client) -> Iterator[TestClient]:
    """A client of a server with a token behind a proxy of each way."""
    app = serve(token=TOKEN, root_path=WAYS[request.param], hosts=("videos.example.org",)).app
    yield TestClient(Proxy(app, request.param), base_url=SITE, follow_redirects=False)


def test_the_way_in_leads_below_the_path(below: TestClient):
    answer = below.get(f"{SITE}/?q=dog")
    login = urljoin(f"{SITE}/?q=dog", answer.headers["location"])
    assert (answer.status_code, login) == (303, f"{SITE}/login?q=dog")
    answer = below.post(login, data={"token": TOKEN}, headers={"Origin": "https://videos.example.org"})
    assert (answer.status_code, urljoin(login, answer.headers["location"])) == (303, f"{SITE}/?q=dog")
    (cookie,) = below.cookies.jar
    assert (cookie.path, cookie.secure) == (PREFIX, True)
    assert below.get(f"{SITE}/api/library").status_code == 200


def test_every_address_of_the_page_is_one_of_the_server(below: TestClient):
    below.headers["Authorization"] = f"Bearer {TOKEN}"
    seen, ahead = set(), [f"{SITE}/", f"{SITE}/docs", f"{SITE}/login"]
    while ahead:
        url = ahead.pop()
        if url in seen:
            continue
        seen.add(url)
        answer = below.get(url)
        assert answer.status_code == 200, url
        if answer.headers["content-type"].startswith(("text/html", "text/javascript")):
            ahead += [urljoin(url, address or module) for address, module in ADDRESS.findall(answer.text)]
    assert {f"{SITE}/page/{name}" for name in ("style.css", "icon.svg", "app.js", "player.js", "state.js")} <= seen
    assert f"{SITE}/api/openapi.json" in seen
    schema = below.get(f"{SITE}/api/openapi.json").json()
    servers = [urljoin(f"{SITE}/api/openapi.json", server["url"]) for server in schema["servers"]]
    assert [server.rstrip("/") for server in servers] == [SITE]


def test_no_file_of_the_page_names_an_address_from_the_root_of_the_host():
    from mmpt.server.pages import ASSETS

    for name, asset in ASSETS.items():
        assert not re.search(r"""["'`(=]/(page|api|login|docs|\?)""", asset.content.decode()), name


@pytest.mark.parametrize("way", ["off and told", "kept"])
def test_the_path_without_its_slash_is_the_page_where_the_server_is_told_of_it(serve: Client, way: str):
    client = TestClient(Proxy(serve(root_path=PREFIX).app, way), base_url="http://localhost")
    assert f'src="{PREFIX}/page/app.js"' in client.get(PREFIX).text


def test_the_server_answers_without_the_proxy_too(serve: Client):
    client = serve(root_path=PREFIX)
    assert client.get("/api/library").status_code == client.get(f"{PREFIX}/api/library").status_code == 200
    assert client.get(f"{PREFIX}x/api/library").status_code == 404


def test_what_clients_say_of_a_prefix_is_passed_over(serve: Client):
    client = serve(token=TOKEN)
    told = {
        "X-Forwarded-Prefix": "//evil.example",
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "host=evil.example",
    }
    answer = client.get("/", headers=told, follow_redirects=False)
    assert answer.headers["location"] == "./login"
    assert "evil" not in client.get("/login", headers=told).text


@pytest.mark.parametrize(
    "path", ["videos", "/videos/", "/a b", "/<b>", "//evil.com", "/a//b", "/..", "/a/../b", "/api", "/page/x"]
)
def test_a_root_path_that_cannot_be_is_told(path: str):
    with pytest.raises(ValueError, match="root path"):
        Settings(root_path=path).check()


@pytest.mark.parametrize("path", ["", "/videos", "/a/b-c/d_e.f~g", "/apis"])
def test_root_paths_that_can_be(path: str):
    Settings(root_path=path).check()
