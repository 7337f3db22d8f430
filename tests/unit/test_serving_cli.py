import json
import shlex

import pytest

from common.bundle import Manifest
from common.clock import SECOND_US, now_us
from deployments.auth import Authenticator
from deployments.cli import main
from deployments.settings import load_settings
from deployments.tokens import signing_secret
from deployments.welcome import example_request, welcome


@pytest.fixture(autouse=True)
def _state(monkeypatch, tmp_path):
    monkeypatch.setenv("CARTCAST_STATE_DIR", str(tmp_path))


def test_token_prints_a_token_that_works_and_nothing_else(capsys):
    assert main(["token", "--subject", "shop", "--scopes", "predict,read", "--ttl", "15m"]) == 0

    token = capsys.readouterr().out.removesuffix("\n")
    principal = Authenticator(signing_secret(load_settings())).subject_of(f"Bearer {token}", "read", now_us())
    assert principal.subject == "shop"
    assert principal.expires_us == pytest.approx(now_us() + 900 * SECOND_US, abs=5 * SECOND_US)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--subject", "shop", "--scopes", "root"], "error: no such scope: root. Known scopes: predict, events,"),
        (["--subject", "shop", "--scopes", "read", "--ttl", "soon"], "error: 'soon' is not a time to live."),
        (["--subject", "a shop", "--scopes", "read"], "error: 'a shop' cannot be a subject."),
    ],
)
def test_a_wrong_argument_is_one_line_and_exit_code_2(capsys, arguments, why):
    assert main(["token", *arguments]) == 2

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(why)
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize("command", ["serve", "token", "score"])
def test_every_command_explains_itself(capsys, command):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])

    assert ended.value.code == 0
    assert len(capsys.readouterr().out) > 300


def test_the_request_that_is_printed_survives_a_shell():
    body = example_request(Manifest.model_construct(data={"sample_request": {"brand": "l'oreal $HOME"}}))

    text = welcome("127.0.0.1", 8000, "v1", "TOKEN", body)

    command = text[text.index("curl") : text.index("\n\nCtrl-C")].replace("\\\n", "")
    words = shlex.split(command)
    assert json.loads(words[words.index("-d") + 1]) == body
    assert body["brand"] == "l'oreal $HOME"
    assert "Authorization: Bearer TOKEN" in words
