import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from common.errors import ConfigError, StartError
from deployments.application import READY_IN_A_ROW, root_cause, wait_until_ready
from deployments.deploy_config import complete, read_config
from deployments.ports import LOOPBACK

TRACEBACK = """\
Deploying app 'cartcast' failed with exception:
Traceback (most recent call last):
  File "app.py", line 3, in build
    raise BundleError("no trees")
common.errors.BundleError: bundle v1 has no trees: at /a/b. Train it again

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
ray.exceptions.RayTaskError: [36mray::replica()[39m
"""


@pytest.fixture
def answers():
    """A server that gives these statuses in turn, then 200 for good."""
    statuses, given = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            given.append(statuses.pop(0) if statuses else 200)
            self.send_response(given[-1])
            self.send_header("Content-Length", "14")
            self.end_headers()
            self.wfile.write(b'{"redis":"no"}')

        def log_message(self, *_):
            pass

    server = HTTPServer((LOOPBACK, 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server.server_port, statuses, given
    server.shutdown()
    server.server_close()


def test_ready_is_what_lasts(answers):
    port, statuses, given = answers
    statuses += [404, 503, 200, 200, 503]

    said = []

    wait_until_ready(LOOPBACK, port, time.monotonic() + 30, said.append)

    assert given == [404, 503, 200, 200, 503] + [200] * READY_IN_A_ROW
    assert [line[:19] for line in said] == ["/ready answers 404 ", "/ready answers 503 ", "/ready answers 503 "]


def test_what_is_never_ready_is_reported_with_its_own_words(answers):
    port, statuses, _ = answers
    statuses += [503] * 100

    with pytest.raises(StartError, match=r'/ready answers 503 \{"redis":"no"\}'):
        wait_until_ready(LOOPBACK, port, time.monotonic() + 0.3, lambda _: None)


def test_the_root_cause_is_the_applications_own_error():
    assert root_cause(TRACEBACK) == "BundleError: bundle v1 has no trees: at /a/b. Train it again"
    assert root_cause("\n  the node died \n") == "the node died"
    assert root_cause("") == "it gives no reason"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "No such file"),
        ("a: [", "cannot be read"),
        ("applications: []", "has 0 applications"),
        ("[]", "not a Serve configuration"),
        ("applications: [{name: a}]", "applications.0.import_path"),
        ("applications: [{import_path: a:b, deployments: [{name: x, num_replicas: -1}]}]", "num_replicas"),
    ],
)
def test_a_wrong_serve_file_is_refused_with_its_name_and_field(tmp_path, text, why):
    path = tmp_path / "serve.yaml"
    if text is not None:
        path.write_text(text)

    with pytest.raises(ConfigError, match=why) as refused:
        read_config(path)

    assert "serve.yaml" in str(refused.value)


def test_the_file_is_completed_and_itself_left_as_it_is():
    config = {"http_options": {"keep_alive_timeout_s": 9}, "applications": [{"import_path": "a:b", "args": {"x": "1"}}]}

    completed = complete(config, host="127.0.0.1", port=8001, arguments={"y": "2"}, variables={"V": "3"})

    assert completed["http_options"] == {"keep_alive_timeout_s": 9, "host": "127.0.0.1", "port": 8001}
    assert completed["applications"][0]["args"] == {"x": "1", "y": "2"}
    assert completed["applications"][0]["runtime_env"] == {"env_vars": {"V": "3"}}
    assert config["applications"][0] == {"import_path": "a:b", "args": {"x": "1"}}
