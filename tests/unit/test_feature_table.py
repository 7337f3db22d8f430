"""docs/features.md says what the specs say."""

from pathlib import Path

from common.feature_specs import SPECS
from common.feature_table import GROUPS, markdown

PAGE = Path(__file__).parents[2] / "docs" / "features.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == markdown(), "run: python -m common.feature_table > docs/features.md"


def test_every_group_has_one_table_with_a_title():
    page = markdown()

    assert {spec.group for spec in SPECS} == set(GROUPS)
    assert all(page.count(f"## {title}\n") == 1 for title in GROUPS.values())
    assert all(page.count(f"| `{spec.name}` |") == 1 for spec in SPECS)
