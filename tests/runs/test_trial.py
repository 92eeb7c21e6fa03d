"""Trials answer from a process of their own; what goes wrong there is a sentence here, and the next one works."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict

import psutil
import pytest
from toy_runs import wait_for

from engine.cli.main import main
from engine.core.config import RunRequest
from engine.core.events import Stopped
from engine.runs import trial
from engine.runs.advice import verdict
from engine.runs.estimate import Estimate
from engine.runs.store import Store
from engine.runs.trial import Pending, Refusal, Trials

EVALUATION = {"num_students": 1, "ordinary_steps": 5, "full_epochs": 1}
MLP = {"student": {"name": "mlp"}, "passes": 2, "outer_steps": 5, "real_batch": 32}
SMALL = RunRequest(config=MLP, evaluation=EVALUATION)
WIDE = 512
# Graphs of 100 inner steps of a wide network: some gigabytes, and minutes.
LARGE = RunRequest(
    config={"student": {"width": WIDE}, "passes": 100, "ipc": 50, "memory": "store", "real_batch": 1024},
    evaluation=EVALUATION,
)

# one convolution: its activations take hundreds of megabytes and hardly any time
HUNGRY = LARGE.model_copy(
    update={"config": {"student": {"width": 1024, "depth": 1}, "passes": 4, "ipc": 100, "memory": "store"}}
)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return Store(tmp_path_factory.mktemp("trials") / "runs")


@pytest.fixture(scope="module")
def trials(store) -> Iterator[Trials]:
    """One for all tests: its process takes seconds to start."""
    made = Trials(store)
    yield made
    made.close()


class ObedientProcess:
    """A process that answers small requests at once and never gets through a large one, for what is not about
    processes.
    """

    ended: list[str] = []
    """What each process that was ended was trying, "large" or "small"."""

    def __init__(self) -> None:
        self._is_ended, self._messages, self._width = False, [], 0

    def send(self, message: dict) -> None:
        self._width = message["request"]["config"]["student"].get("width", 0)
        answer = {"estimate": asdict(Estimate(num_steps=5))}
        self._messages = [{"phase": "try outer steps"}] + ([] if self._width == WIDE else [answer])

    def hear(self, timeout: float) -> dict | None:
        if self._messages:
            return self._messages.pop(0)
        time.sleep(timeout)
        return None

    def is_alive(self) -> bool:
        return not self._is_ended

    def memory_taken(self) -> int:
        return 0

    def end(self) -> None:
        self._is_ended = True
        self.ended.append("large" if self._width == WIDE else "small")


@pytest.fixture
def ended(monkeypatch) -> list[str]:
    """What processes were trying when they were ended, "large" or "small"."""
    monkeypatch.setattr(ObedientProcess, "ended", [])
    return ObedientProcess.ended


@pytest.fixture
def quick(store, ended, monkeypatch) -> Iterator[Trials]:
    """Trials whose process is none."""
    monkeypatch.setattr(trial, "_Process", ObedientProcess)
    made = Trials(store)
    yield made
    made.close()


def process_of(trials: Trials) -> psutil.Process:
    """The process of the trials, once it runs."""
    wait_for(lambda: trials._process is not None, seconds=60)
    return psutil.Process(trials._process._popen.pid)


def warm_process_of(trials: Trials) -> psutil.Process:
    """The process of the trials, which has answered before: that of an earlier test, or a new one."""
    if trials._process is None or not trials._process.is_alive():
        assert isinstance(trials.wait(differing(5)), Estimate)
    return process_of(trials)


def differing(seed_of_settings: int) -> RunRequest:
    """A small request with settings of its own."""
    return SMALL.model_copy(update={"config": MLP | {"real_batch": 32 + seed_of_settings}})


@pytest.mark.slow
def test_a_second_ask_is_answered_at_once_whatever_the_run_is_called(trials):
    assert trials.known(SMALL) is None and isinstance(trials.ask(SMALL), Pending)
    found = trials.wait(SMALL)
    assert isinstance(found, Estimate) and found.num_steps == 5 and found.seconds > 0 and not found.beside
    assert trials.ask(SMALL.model_copy(update={"name": "other", "seed": 9})) is found
    trials.forget(SMALL)
    assert trials.known(SMALL) is None


@pytest.mark.slow
def test_the_process_gives_way_to_everything_else(trials):
    process = warm_process_of(trials)  # one that has answered has given way before
    assert process.nice() >= 5
    if sys.platform.startswith("linux"):
        with open(f"/proc/{process.pid}/oom_score_adj") as file:
            assert file.read().strip() == "1000"


def test_a_newer_ask_takes_the_place_of_the_older(quick, ended, monkeypatch):
    monkeypatch.setattr(trial, "_LEFT_SECONDS", 0.2)
    quick.ask(LARGE)
    wait_for(lambda: quick.ask(LARGE).phase == "try outer steps", seconds=60)
    newer = differing(1)
    assert isinstance(quick.wait(newer), Estimate)
    assert quick.known(LARGE) is None and not quick._wanted
    assert ended == ["large"]


def test_a_trial_that_is_left_may_end_so_that_the_next_finds_its_process(quick, ended):
    quick.ask(LARGE)
    wait_for(lambda: quick.ask(LARGE).phase == "try outer steps", seconds=60)
    newer = differing(11)
    quick.ask(newer)
    time.sleep(0.3)
    quick._process._messages.append({"estimate": asdict(Estimate(num_steps=5))})
    assert isinstance(quick.wait(newer), Estimate) and isinstance(quick.known(LARGE), Estimate)
    assert not ended


def test_two_sessions_do_not_take_each_others_place(quick, ended):
    first, second = differing(2), differing(3)
    while isinstance(quick.ask(first, "one"), Pending) or isinstance(quick.ask(second, "two"), Pending):
        time.sleep(0.02)
    assert isinstance(quick.known(first), Estimate) and isinstance(quick.known(second), Estimate)
    assert not ended


@pytest.mark.slow
def test_what_the_run_would_refuse_is_refused_with_its_sentence(trials):
    answer = trials.wait(RunRequest(source="folder:gone"))
    assert isinstance(answer, Refusal) and answer.is_final and "not on this machine" in answer.sentence


@pytest.mark.slow
def test_a_killed_process_is_a_sentence_and_the_next_ask_works(trials):
    request = differing(4)
    trials.ask(request)
    process_of(trials).kill()
    answer = trials.wait(request)
    assert isinstance(answer, Refusal) and not answer.is_final and "was killed" in answer.sentence
    trials.forget(request)
    assert isinstance(trials.wait(request), Estimate)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="bounds memory as Linux does")
def test_what_does_not_fit_is_refused_and_the_parent_lives(trials):
    process = warm_process_of(trials)
    process.rlimit(psutil.RLIMIT_DATA, (process.memory_info().data + 300_000_000, -1))
    found = trials.wait(HUNGRY)
    assert isinstance(found, Estimate) and found.is_out_of_memory and 100_000_000 < found.memory_bytes < 400_000_000
    sentence = verdict(found, HUNGRY)
    assert sentence.startswith("This needs more than") and "memory set to 'recompute'" in sentence
    assert isinstance(trials.wait(differing(6)), Estimate)


def test_a_trial_beside_a_running_run_says_so(quick, store):
    assert not quick.wait(SMALL).beside
    run_id = store.submit(SMALL, status="running")
    try:
        assert quick.wait(differing(7)).beside
    finally:
        store.append(run_id, [Stopped(0)])


def test_a_store_that_is_busy_after_a_trial_is_a_sentence_and_the_next_ask_works(quick, monkeypatch):
    asked = []

    def busy() -> bool:
        asked.append(None)
        if len(asked) == 2:
            raise sqlite3.OperationalError("database is locked")
        return False

    with monkeypatch.context() as patched:
        patched.setattr(quick, "_is_beside", busy)
        found = quick.wait(differing(21))
    assert isinstance(found, Refusal) and "database is locked" in found.sentence
    assert isinstance(quick.wait(differing(22)), Estimate)


@pytest.mark.slow
def test_the_command_line_says_what_a_request_takes(trials, monkeypatch, capsys, tmp_path):
    warm_process_of(trials)
    ended = []
    monkeypatch.setattr(trials._process, "end", lambda: ended.append(True))
    monkeypatch.setattr(trial, "_Process", lambda: trials._process)  # lent, as another takes seconds to start
    path = tmp_path / "request.json"
    path.write_text(SMALL.model_dump_json())
    assert main(["estimate", str(path), "--json", "--runs", str(tmp_path / "runs")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["num_steps"] == 5 and told["seconds"] > 0 and told["memory_bytes"] > 0 and told["refused"] is None
    assert ended


@pytest.mark.slow
def test_a_slow_trial_ends_in_a_lower_bound(trials, monkeypatch):
    warm_process_of(trials)
    monkeypatch.setattr(trials, "_most_seconds", 2.0)
    slow = LARGE.model_copy(update={"config": LARGE.config | {"memory": "recompute", "outer_steps": 7}})
    found = trials.wait(slow)
    assert found.lower_bound and not found.is_out_of_memory
    assert found.seconds_per_step > 0.5 and found.seconds_distilling == 7 * found.seconds_per_step
    assert found.memory_bytes > 10_000_000, "what the step took until then"


def test_who_has_gone_keeps_nobody_waiting(quick, ended, monkeypatch):
    monkeypatch.setattr(trial, "_GONE_SECONDS", 0.5)
    monkeypatch.setattr(trial, "_LEFT_SECONDS", 0.2)
    quick.ask(LARGE, "a tab that is closed now")
    assert isinstance(quick.wait(differing(10), "another"), Estimate)
    assert quick.known(LARGE) is None and ended == ["large"]


def test_an_idle_process_is_ended(quick, ended, monkeypatch):
    monkeypatch.setattr(quick, "_idle_seconds", 0.2)
    assert isinstance(quick.wait(differing(9)), Estimate)
    wait_for(lambda: quick._process is None, seconds=60)
    assert ended == ["small"]


def test_the_command_line_refuses_a_wrong_request_without_trying_it(capsys, tmp_path):
    assert main(["estimate", "--source", "nothing", "--runs", str(tmp_path / "runs")]) == 2
    assert "no preset" in capsys.readouterr().err


def test_the_trial_command_is_for_the_program_alone(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = capsys.readouterr().out
    assert "estimate" in listed and "trial" not in listed.split("positional arguments:")[1]


@pytest.mark.parametrize("kept", ["experts", "teachers"])
def test_an_answer_that_counted_networks_is_forgotten_once_others_are_recorded(tmp_path, kept):
    trials = Trials(Store(tmp_path / "runs"))
    other = SMALL.model_copy(update={"config": MLP | {"outer_steps": 6}})
    trials._keep(trials.key(SMALL), Estimate(num_experts=5), trials._recorded_now())
    trials._keep(trials.key(other), Estimate(), trials._recorded_now())
    assert trials.known(SMALL) is not None
    folder = tmp_path / "runs" / "cache" / kept / "0123"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    assert trials.known(SMALL) is None and trials.known(other) is not None
