"""`check` shows what a sample would become and stores nothing; `submit` lands what passes."""

import pytest

from nightledger.ingestion import __main__ as commands

from .conftest import line, lines

SECRET = "4929111122223333"


@pytest.fixture
def run(bank, monkeypatch, capsys):
    """Runs a command of the bank's installation; returns its exit code and what it printed."""
    for name in ("home", "inbox", "sources", "clients"):
        monkeypatch.setenv(f"NIGHTLEDGER_{name.upper()}", str(getattr(bank.settings, name)))
    monkeypatch.setattr(commands.console, "width", 200)

    def command(*words: object) -> tuple[int, str]:
        code = commands.main([str(word) for word in words])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return command


def test_check_shows_rows_as_they_would_be_and_stores_nothing(bank, run, tmp_path):
    """Catches a trial that leaves traces, or shows a card number on a screen."""
    contract = bank.contract(max_bad_share=0.5)
    sample = tmp_path / "sample.csv"
    sample.write_text(lines(line(1, card=SECRET), line(2, amount="[bold]x"), line(3)))
    before = sorted(bank.settings.home.rglob("*"))
    code, printed = run("check", contract, sample)
    assert code == 0
    assert (
        "sample.csv would be loaded by cards: 3 records, 1 in quarantine, sum of amounts -5.0000" in printed
    )
    assert "transactions: 2 rows" in printed
    assert "2026-01-05 10:00:00" in printed
    assert "[aaaa]a" in printed
    assert SECRET not in printed
    assert sorted(bank.settings.home.rglob("*")) == before


def test_check_of_a_sample_that_would_be_refused_fails_with_its_message(bank, run, tmp_path):
    """Catches a script that goes on after a refusal."""
    contract = bank.contract()
    sample = tmp_path / "sample.csv"
    sample.write_text("id,customer\n1,2\n")
    code, printed = run("check", contract, sample)
    assert code == 1
    assert "sample.csv would be refused" in printed
    assert "column card · the column is missing" in printed


def test_mistakes_of_contracts_and_paths_are_printed_plainly(bank, run, tmp_path):
    """Catches a traceback where one line says all."""
    contract = bank.contract(clinet="bank")
    sample = tmp_path / "sample.csv"
    sample.write_text(lines(line(1)))
    assert run("check", contract, sample) == (1, "cards.yml: clinet: unknown key. Did you mean client?\n")
    missing = tmp_path / "missing.csv"
    assert run("check", contract, missing) == (1, f"{missing}: no such file\n")


def test_submit_lands_a_good_file_for_the_next_night(bank, run, tmp_path):
    """Catches a file that is accepted and then never loaded."""
    bank.contract()
    file = tmp_path / "tx_1.csv"
    file.write_text(lines(line(1)))
    code, printed = run("submit", file, "--source", "cards")
    assert (code, "Landed. The next night loads it." in printed) == (0, True)
    code, printed = run("submit", file, "--source", "cards")
    assert (code, "Landed before" in printed) == (0, True)
    assert bank.load()["tx_1.csv"].verdict == "loaded"


@pytest.mark.parametrize(("name", "content"), {"tx_1.csv": "id\n1\n", "cards.csv": lines(line(1))}.items())
def test_submit_refuses_what_a_night_would_refuse(bank, run, tmp_path, name, content):
    """Catches damage that is found at night instead of at once."""
    bank.contract()
    file = tmp_path / name
    file.write_text(content)
    code, _ = run("submit", file, "--source", "cards")
    assert code == 1
    assert not bank.settings.landing.exists()


def test_submit_names_a_source_that_is_missing(bank, run, tmp_path):
    """Catches a file landed under a contract that nobody has written."""
    file = tmp_path / "tx_1.csv"
    file.write_text(lines(line(1)))
    code, printed = run("submit", file, "--source", "cards")
    assert code == 1
    assert "cards.yml: no such file" in printed
