"""The command line imports price files and forgets them."""

from __future__ import annotations

import pytest
from price_files import good, rows_of, text_of, toy_bars, zipped

from engine.cli.main import main
from engine.data import prices


@pytest.fixture
def command(data_root, monkeypatch):
    monkeypatch.setenv("DISTILLERY_DATA", str(data_root))
    return lambda *words: main([str(word) for word in words])


def test_files_are_imported_with_their_report_and_forgotten(command, data_root, tmp_path, capsys):
    (tmp_path / "BTC_daily.csv").write_bytes(b"an advertisement\n" + good())
    (tmp_path / "ETH_daily.csv").write_bytes(good(seed=1))
    assert (
        command(
            "import-prices",
            tmp_path / "BTC_daily.csv",
            tmp_path / "ETH_daily.csv",
            "--name",
            "My coins",
            "--token",
            "ETH_daily.csv=Ether",
        )
        == 0
    )
    (source,) = prices.saved(data_root).values()
    assert (source.key, source.title, source.tokens) == ("prices:my-coins", "My coins", ("BTC", "Ether"))
    said = capsys.readouterr()
    assert "Your own: 2 tokens, 240 bars of 1 day." in said.out
    assert "120 bars of 1 day, 2020-01-01 to 2020-04-29 (BTC_daily.csv)" in said.out
    assert "1 line before the table was skipped ('an advertisement')." in said.out
    assert "read files" in said.err
    assert command("forget", source.key) == 0
    assert prices.saved(data_root) == {}


def test_columns_are_chosen_for_every_file_of_an_archive(command, data_root, tmp_path):
    names = ("date", "open", "high", "low", "schluss!", "volume")
    content = text_of(rows_of(toy_bars()), names[:4] + ("x",) + names[5:]).encode()
    (tmp_path / "coins.zip").write_bytes(zipped({"A.csv": content, "B.csv": content}))
    assert command("import-prices", tmp_path / "coins.zip") == 2
    assert command("import-prices", tmp_path / "coins.zip", "--column", "close=x") == 0
    assert prices.saved(data_root)["prices:coins"].tokens == ("A", "B")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("absent.csv",), "'absent.csv' is not a readable file"),
        (
            ("{good}", "--column", "shut=x"),
            "--column shut=x: write it as NAME=VALUE, where NAME is one of date, time, open",
        ),
        (("{good}", "--token", "BTC"), "--token BTC: write it as NAME=VALUE."),
        (("{good}", "--name", "Simulated prices"), "There is already a data set called 'Simulated prices'"),
        (("{good}", "--name", "a\nb"), "name"),
    ],
)
def test_what_is_wrong_is_one_line(words, sentence, command, data_root, tmp_path, capsys):
    (tmp_path / "good.csv").write_bytes(good())
    assert command("import-prices", *(word.format(good=tmp_path / "good.csv") for word in words)) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert sentence in said[-1] and said[-1].startswith("error: ")
    assert prices.saved(data_root) == {}


def test_images_and_prices_cannot_have_one_name(command, data_root, tmp_path, capsys):
    (tmp_path / "BTC.csv").write_bytes(good())
    assert command("import-prices", tmp_path / "BTC.csv", "--name", "Mine") == 0
    assert command("import", tmp_path, "--name", "mine") == 2
    assert "There is already a data set called 'mine'" in capsys.readouterr().err


def test_a_name_without_latin_letters_is_no_key_of_images(command, data_root, tmp_path):
    (tmp_path / "BTC.csv").write_bytes(good())
    assert command("import-prices", tmp_path / "BTC.csv", "--name", "比特币") == 0
    assert list(prices.saved(data_root)) == ["prices:prices"]


def test_what_cannot_be_forgotten_is_told_beside_the_prices_there_are(command, data_root, tmp_path, capsys):
    (tmp_path / "BTC.csv").write_bytes(good())
    assert command("import-prices", tmp_path / "BTC.csv") == 0
    assert command("forget", "prices:other") == 2
    assert "There is no imported data set 'prices:other'. Imported so far: prices:btc." in capsys.readouterr().err
