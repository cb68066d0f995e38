from table import Table, as_markdown, as_text

TABLE = Table("Rates", "All of them.", ("work", "rate"), (("a", "1"), ("longer", "1,000")))


def test_text_aligns_numbers_to_the_right() -> None:
    assert as_text(TABLE).splitlines() == ["RATES", "work     rate", "a           1", "longer  1,000", "All of them."]


def test_markdown_is_a_section_with_a_table() -> None:
    expected = "## Rates\n\nAll of them.\n\n| work | rate |\n| --- | --- |\n| a | 1 |\n| longer | 1,000 |\n"
    assert as_markdown(TABLE) == expected
