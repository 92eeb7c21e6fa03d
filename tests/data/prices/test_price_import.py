"""Price files become a data set: kept whole or not at all, listed, loaded, renamed, deleted."""

from __future__ import annotations

import json

import numpy as np
import pytest
from draining import drained
from price_files import DAY, FIRST_DAY, good, imported, refused, rows_of, text_of, toy_bars, zipped

from engine.core.config import DataConfig
from engine.core.data_config import WindowConfig
from engine.core.errors import ConfigError, DataError
from engine.core.events import Progress
from engine.data import prices
from engine.data.prices import Mapping, PriceOptions, PriceSource, import_prices

LONG = {"num_bars": 600}


def two(data_root, num_bars: int = 120, **values) -> PriceSource:
    files = [(f"{token}_daily.csv", good(seed=seed, num_bars=num_bars)) for seed, token in enumerate(("BTC", "ETH"))]
    return imported(data_root, *files, **values)


def test_files_become_a_source_with_a_token_each(data_root):
    source = two(data_root, **LONG)
    assert (source.key, source.title, source.kind, source.origin) == (
        "prices:coins",
        "Coins",
        "prices",
        "Uploaded files",
    )
    assert source.tokens == source.class_names == ("BTC", "ETH")
    assert source.summary == "Your own: 2 tokens, 1,200 bars of 1 day."
    assert source.availability(data_root).state == "present"
    assert sorted(path.name for path in source.paths(data_root)) == ["bars.npz", "dataset.json"]
    assert prices.saved(data_root) == {source.key: source}
    for kept, seed in zip(source.bars(data_root), (0, 1), strict=True):
        np.testing.assert_array_equal(kept.table, toy_bars(seed=seed, **LONG).table)
        np.testing.assert_array_equal(kept.times, toy_bars(**LONG).times)


def test_the_report_says_what_was_found(data_root):
    rows = rows_of(toy_bars(**LONG))[::-1]
    source = imported(data_root, ("BTC.csv", text_of(rows[:100] + rows[103:]).encode()), ("notes.md", good()))
    (file, other) = source.report.files
    assert other.name == "notes.md"  # a file that was chosen by hand is tried whatever its ending
    assert (file.name, file.token, file.num_rows, file.num_bars, file.num_missing) == ("BTC.csv", "BTC", 597, 597, 3)
    assert (file.first, file.last, file.seconds) == (FIRST_DAY, FIRST_DAY + 599 * DAY, DAY)
    assert file.mapping.close == "close" and len(file.repairs) == 2


def test_an_imported_source_gives_windows(data_root):
    source = two(data_root, **LONG)
    events, splits = drained(source.load(DataConfig(), data_root))
    assert splits.spec.class_names == ("BTC", "ETH") and len(splits.train) > 500
    assert splits.title == "Coins" and all(isinstance(event, Progress) for event in events)


def test_equal_bars_have_one_digest_whatever_they_are_called(data_root):
    one, other = two(data_root, **LONG), two(data_root, **LONG, name="Others")
    assert one.digest == other.digest and one.key != other.key
    fingerprints = {drained(source.load(DataConfig(), data_root))[1].fingerprint for source in (one, other)}
    assert len(fingerprints) == 1


def test_zip_files_and_folders_are_opened(data_root, tmp_path):
    files = {
        "daily/BTC_daily.csv": good(),
        "daily/ETH_daily.csv": good(seed=1),
        "README.txt": b"notes",
        "__MACOSX/._a.csv": b"x",
    }
    packed = imported(data_root, ("coins.zip", zipped(files)), name="Packed")
    assert packed.tokens == ("BTC", "ETH")
    assert packed.report.skipped == (("README.txt", "is a note, by its name"),)
    for name, content in files.items():
        (tmp_path / "coins" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "coins" / name).write_bytes(content)
    (tmp_path / "outside.csv").write_bytes(good())
    (tmp_path / "coins" / "link.csv").symlink_to(tmp_path / "outside.csv")
    folder = imported(data_root, ("coins", tmp_path / "coins"), name="Folder")
    assert folder.tokens == ("BTC", "ETH") and folder.origin == f"Read from {tmp_path / 'coins'}"
    assert dict(folder.report.skipped)["link.csv"] == "is a link that leads out of the folder"
    (tmp_path / "coins.zip").write_bytes(zipped(files))
    assert imported(data_root, ("coins.zip", tmp_path / "coins.zip"), name="Zip on disk").tokens == ("BTC", "ETH")


def test_what_the_page_expands_is_imported_under_the_same_names(data_root):
    opened = prices.expanded([("coins.zip", zipped({"a/BTC.csv": good(), "b/BTC.csv": good(seed=1)}))])
    assert [name for name, _ in opened.files] == ["a/BTC.csv", "b/BTC.csv"]
    source = imported(data_root, *opened.files, tokens={"b/BTC.csv": "Bitcoin"})
    assert source.tokens == ("BTC", "Bitcoin")


def test_columns_chosen_by_hand_are_used(data_root):
    names = ("wann", "auf", "oben", "unten", "zu", "menge")
    mapping = Mapping(date="wann", open="auf", high="oben", low="unten", close="zu", volume="menge")
    content = text_of(rows_of(toy_bars()), names).encode()
    source = imported(data_root, ("X.csv", content), mappings={"X.csv": mapping})
    assert source.report.files[0].mapping == mapping
    np.testing.assert_array_equal(source.bars(data_root)[0].table, toy_bars().table)


def test_tokens_must_differ_and_have_bars_of_one_length(data_root):
    assert "'a/BTC.csv' and 'b/BTC.csv' are both of BTC" in refused(
        data_root, ("a/BTC.csv", good()), ("b/BTC.csv", good())
    )
    hourly = toy_bars(seconds=3600)
    text = text_of(rows_of(hourly, str)).encode()
    sentence = refused(data_root, ("BTC.csv", good()), ("ETH.csv", text))
    assert sentence == "ETH has a bar every 1 hour, but BTC has a bar every 1 day; use bars of equal length."


def test_months_are_of_one_length_whatever_their_days(data_root):
    months = np.arange("1990-01", "2000-01", dtype="datetime64[M]").astype("datetime64[s]").astype(int)
    rows = [
        [str(np.datetime64(int(time), "s")), *row[1:]] for time, row in zip(months, rows_of(toy_bars()), strict=True)
    ]
    source = imported(data_root, ("A.csv", text_of(rows).encode()), ("B.csv", text_of(rows[:100]).encode()))
    assert all(file.num_missing == 0 for file in source.report.files)


def test_tokens_without_a_common_time_are_imported_and_said(data_root):
    late = text_of(rows_of(toy_bars(first=FIRST_DAY + 400 * DAY))).encode()
    source = imported(data_root, ("OLD.csv", good()), ("NEW.csv", late))
    assert "OLD ends on 2020-04-29, before NEW begins on 2021-02-04: they do not overlap." in source.report.notes


def test_a_history_too_short_for_the_usual_windows_is_imported_and_said(data_root):
    source = imported(data_root, ("A.csv", good()))
    assert "A has too few bars for windows of 30 in each part" in source.report.notes[0]
    with pytest.raises(DataError, match="too|need"):
        drained(source.load(DataConfig(), data_root))
    short = DataConfig(windows=WindowConfig(window_length=5))
    assert len(drained(source.load(short, data_root))[1].train) > 10
    assert imported(data_root, ("A.csv", good(**LONG)), name="Long").report.notes == ()


def test_a_name_is_taken_once(data_root):
    two(data_root)
    for name in ("Coins", " coins "):
        with pytest.raises(DataError, match="There is already a data set called 'Coins'"):
            drained(import_prices([("A.csv", good())], PriceOptions(name=name), data_root))
    assert imported(data_root, ("A.csv", good()), name="Co-ins").key == "prices:co-ins"
    assert imported(data_root, ("A.csv", good()), name="Coins!").key == "prices:coins-2"


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 81])
def test_a_name_that_cannot_be_shown_is_no_name(name, data_root):
    with pytest.raises(ValueError):
        PriceOptions(name=name)
    key = two(data_root).key
    with pytest.raises(ConfigError):
        prices.rename(key, name, data_root)


def test_a_data_set_is_renamed_and_deleted(data_root):
    key = two(data_root).key
    prices.rename(key, "My coins", data_root)
    source = prices.saved(data_root)[key]
    assert source.title == "My coins" and len(source.bars(data_root)) == 2
    prices.delete(key, data_root)
    assert prices.saved(data_root) == {} and not list((data_root / "prices").iterdir())
    with pytest.raises(DataError, match="There is no imported data set 'prices:coins'"):
        prices.delete(key, data_root)


@pytest.mark.parametrize("phase", ["open files", "read files", "store prices"])
def test_an_import_that_is_closed_leaves_nothing(phase, data_root):
    importing = import_prices([("A.csv", good())], PriceOptions(name="A"), data_root)
    assert any(event.phase == phase for event in importing)
    importing.close()
    assert not (data_root / "prices").exists()


def test_a_lack_of_memory_is_a_sentence(data_root, monkeypatch):
    def none_left(*_):
        raise MemoryError

    monkeypatch.setattr(prices.importing.building, "build", none_left)
    assert "There is not enough memory to import Coins; use fewer or smaller files" in refused(
        data_root, ("A.csv", good())
    )


def test_a_disk_that_refuses_is_a_sentence_and_leaves_nothing(data_root, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prices.kept.np, "savez", full)
    assert "Coins cannot be stored under" in refused(data_root, ("A.csv", good()))


def test_too_many_tokens_are_refused(data_root, monkeypatch):
    monkeypatch.setenv("DISTILLERY_MAX_TOKENS", "1")
    assert (
        "There are 2 price files, but at most 1 are allowed; import fewer tokens, or set DISTILLERY_MAX_TOKENS"
        in refused(data_root, ("A.csv", good()), ("B.csv", good()))
    )


SPOILT = {
    "no JSON": lambda values: "{",
    "another version": lambda values: json.dumps(values | {"schema_version": 2}),
    "a title of two lines": lambda values: json.dumps(values | {"title": "a\nb"}),
    "more tokens than files": lambda values: json.dumps(values | {"tokens": ["A", "B", "C"]}),
    "no token": lambda values: json.dumps(values | {"tokens": []}),
    "a digest that is a path": lambda values: json.dumps(values | {"digest": "../../../etc/passwd"}),
    "more than a record has": lambda values: json.dumps(values | {"more": 1}),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_record_that_was_spoilt_is_left_out_of_the_list(case, data_root):
    source = two(data_root)
    path = data_root / "prices" / "coins" / "dataset.json"
    path.write_text(SPOILT[case](json.loads(path.read_text())))
    assert prices.saved(data_root) == {}
    path.write_text(
        json.dumps(
            {
                "schema_version": 1,
                "title": source.title,
                "origin": source.origin,
                "tokens": source.tokens,
                "report": source.report.model_dump(mode="json"),
                "created": source.created,
                "digest": source.digest,
            }
        )
    )
    assert prices.saved(data_root) == {source.key: source}


def test_bars_that_were_changed_on_disk_are_refused(data_root):
    source = two(data_root)
    path = data_root / "prices" / "coins" / "bars.npz"
    content = path.read_bytes()
    for spoilt in (content[:-100], content[:2000] + b"x" + content[2001:], b""):
        path.write_bytes(spoilt)
        with pytest.raises(DataError, match="are missing or damaged"):
            source.bars(data_root)
    path.unlink()
    assert source.availability(data_root).state == "missing"
    with pytest.raises(DataError, match="are missing or damaged"):
        drained(source.load(DataConfig(), data_root))


def test_a_pickle_in_place_of_the_bars_is_never_opened(data_root):
    source = two(data_root)
    bomb = np.array([print], dtype=object)
    np.savez(data_root / "prices" / "coins" / "bars.npz", times_0=bomb, table_0=bomb, times_1=bomb, table_1=bomb)
    with pytest.raises(DataError, match="are missing or damaged"):
        source.bars(data_root)
