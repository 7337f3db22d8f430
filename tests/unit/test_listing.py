"""What `list` shows of the versions of a registry."""

import dataclasses

from rich.console import Console

from training.listing import records, table
from training.registry import Registered

TAGS = {
    "learned_from": "2016-08-01T07:06:52.645000Z",
    "learned_to": "2016-09-30T22:00:00.000000Z",
    "log_loss_low": "0.2712",
    "log_loss_high": "0.3011",
    "missed_gates": '["calibration: error 0.09 over carts", "calibration: error 0.08", "log loss: 0.3"]',
    "forced_past": "calibration: error 0.09 over carts",
}
FIGURES = {"log_loss": 0.2861, "roc_auc": 0.84, "ece": 0.011}
FULL = Registered("2", "20161001T0101-ab", "/b", 1_475_305_261_000, "run", ("champion",), FIGURES, TAGS)
BARE = Registered("1", "20160901T0101-cd", "/a", 0, "run", (), {})


def shown(*versions: Registered) -> list[str]:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(table(versions))
    return captured.get().splitlines()


def test_a_version_shows_what_it_learned_its_interval_and_the_gates_it_missed():
    _, line, bare = shown(FULL, BARE)
    for text in (
        "champion",
        "2016-08-01 to 2016-09-30",
        "0.2861 [0.2712, 0.3011]",
        "calibration, log loss; forced past calibration",
    ):
        assert text in line
    assert bare.split()[-5:] == ["-"] * 5


def test_a_script_reads_the_same():
    (record,) = records([FULL])
    assert record["learned"]["to"] == TAGS["learned_to"]
    assert record["log_loss_interval"] == [0.2712, 0.3011]
    assert len(record["missed_gates"]) == 3
    assert record["forced_past"] == TAGS["forced_past"]
    assert (record["log_loss"], record["aliases"]) == (0.2861, ["champion"])


def test_a_version_forced_past_the_champion_alone_says_so():
    forced = "champion: 0.9 % worse; at most 2.1 %; log loss: 0.3 over all points; 95 % interval -0.1 to +0.2"
    tags = {**TAGS, "missed_gates": "[]", "forced_past": forced}
    _, line = shown(dataclasses.replace(FULL, tags=tags))
    assert line.rstrip().endswith("none; forced past champion, log loss")
