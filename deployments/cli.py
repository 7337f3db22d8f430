"""The command line of serving: serve, token, score."""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from common.clock import now_us
from common.errors import CartcastError

DEFAULT_CONFIG = Path(__file__).resolve().parents[1] / "serve_config.yaml"
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code. 2 with one line on stderr for every error that is ours."""
    given_arguments = sys.argv[1:] if arguments is None else list(arguments)
    given = _parser(given_arguments[:1]).parse_args(given_arguments)
    return _reported(lambda: int(given.run(given)))


def _reported(work: Callable[[], int]) -> int:
    try:
        return work()
    except CartcastError as error:
        print(f"error: {_sentence(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser(command: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deployments",
        description="Answers from a trained bundle: over HTTP, or for a whole log at once.",
        epilog="Settings come from the environment (CARTCAST_STATE_DIR, CARTCAST_HTTP_PORT, REDIS_URL, ...): "
        "see docs/architecture.md. Exit codes: 0 done, 2 an error that the last line names, 130 interrupted.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_token(commands)
    _add_free(commands)
    _add_score(commands, in_full=command == ["score"])
    return parser


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    serve = commands.add_parser(
        "serve",
        help="serve the champion over HTTP until Ctrl-C",
        description="Start Redis and Ray on this machine, deploy serve_config.yaml, wait until the service answers, "
        "print its address, a token and a request to paste. Ctrl-C (or the end of the parent process) stops "
        "everything that was started.",
        epilog="With REDIS_URL set no Redis is started. A cluster given by --address must have the same "
        "CARTCAST_JWT_SECRET in its environment if this process has one.",
    )
    serve.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="the Serve file (%(default)s)")
    which = serve.add_mutually_exclusive_group()
    which.add_argument("--version", help="serve this bundle version instead of the champion")
    which.add_argument("--alias", help="serve what this registry alias names (champion)")
    serve.add_argument("--port", type=int, help="listen here instead of CARTCAST_HTTP_PORT (8000)")
    serve.add_argument("--address", help="a running Ray cluster, also RAY_ADDRESS; a new local one if not given")
    serve.set_defaults(run=_serve)


def _add_token(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    token = commands.add_parser(
        "token",
        help="print a token for the API",
        description="Print a signed token, alone, so that it can be used like this: "
        'curl -H "Authorization: Bearer $(python -m deployments token --subject shop --scopes predict)" ...',
    )
    token.add_argument("--subject", required=True, help="who will use it: 1 to 100 of A-Z a-z 0-9 _ . : @ -")
    token.add_argument("--scopes", required=True, help="comma separated: predict, events, experiments, read, admin")
    token.add_argument("--ttl", default="1h", help="how long it holds: 90s, 15m, 12h, 30d (%(default)s)")
    token.set_defaults(run=_token)


def _add_free(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    free = commands.add_parser(
        "free",
        help="say whether the port is free to serve on, before anything long is started",
        description="Exit with 0 if nobody listens on the port, else with 2 and a line that says who does.",
    )
    free.add_argument("--port", type=int, help="instead of CARTCAST_HTTP_PORT (8000)")
    free.set_defaults(run=_free)


def _add_score(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", *, in_full: bool) -> None:
    """Its arguments are its own to say, but saying them imports Ray: too early for `serve`, too slow for `token`."""
    score = commands.add_parser("score", help="score the decision points of an event log, in batch")
    if in_full:
        importlib.import_module("deployments.score").add_arguments(score)
    score.set_defaults(run=_score)


def _serve(given: argparse.Namespace) -> int:
    from common.guardian import guarded

    def serve() -> int:
        from deployments.serving import ServeOptions, run

        return run(ServeOptions(given.config, given.version, given.alias, given.port, given.address))

    return guarded(lambda: _reported(serve))


def _token(given: argparse.Namespace) -> int:
    from deployments.settings import load_settings
    from deployments.tokens import issue_token, parse_scopes, parse_ttl, signing_secret

    scopes, ttl_s = parse_scopes(given.scopes), parse_ttl(given.ttl)
    print(issue_token(signing_secret(load_settings()), given.subject, scopes, ttl_s, now_us()))
    return 0


def _free(given: argparse.Namespace) -> int:
    from deployments.ports import require_free
    from deployments.settings import load_settings

    settings = load_settings(http_port=given.port)
    remedy = "Stop that process, or serve elsewhere: make run PORT=9000"
    require_free(settings.http_host, settings.http_port, "the service", remedy)
    return 0


def _score(given: argparse.Namespace) -> int:
    importlib.import_module("deployments.score").run(given)
    return 0


def _sentence(text: str) -> str:
    """One line, whatever a library put into its message."""
    return " ".join(text.split())
