"""Self-supervised runs on the pages: the teacher before them, results without labels, and their comparison."""

from __future__ import annotations

from dataclasses import replace

import canned_runs as canned
import canned_selfsup as selfsup
import pytest
from streamlit.testing.v1 import AppTest

import engine
from engine.core.events import Failed, Finished, Stopped
from engine.pretrained.store import Manifest, Network, Point, Probed, Recording
from engine.results import representations
from engine.results.sections import Sentence, Table


def buttons(app: AppTest) -> set[str]:
    return {button.label for button in app.button}


def charts(app: AppTest) -> list[str]:
    return [chart.proto.id for chart in app.get("plotly_chart")]


def tables(app: AppTest) -> str:
    return " ".join(table.value.to_string() for table in app.table).replace("\\", "").replace("\u00a0", " ")


# ---- the teacher ----


def test_live_teacher_shows_its_curves_and_no_outer_loss(store, visit):
    app = visit("runs", run=selfsup.training_teacher(store))
    text = canned.words(app)
    assert "5 of 8 epochs of the teacher · train the teacher, epoch 6 of 8, 3 of 11" in text
    assert "teacher only" in text and "Neighbours, validation 91.5 % 64.0 % before training" in text
    assert "Linear probe, test – measured at the end" in text and "Outer loss" not in text and "expert" not in text
    assert len(charts(app)) == 2
    assert "Stop" in buttons(app) and not buttons(app) & {"Compare", "Gallery"}


def test_teacher_that_waits_says_what_will_be_here(store, visit):
    app = visit("runs", run=store.submit(selfsup.request(action="record")))
    assert "The curves appear here with the first epochs." in canned.words(app) and not charts(app)


def test_finished_teacher_offers_distilling_with_it(store, visit):
    run_id = selfsup.taught(store)
    app = visit("runs", run=run_id)
    assert "Linear probe, test 95.0 %" in canned.words(app) and "Distil with this teacher" in buttons(app)
    assert not buttons(app) & {"Compare", "Gallery"} and "Downloads" not in canned.words(app)
    app.button(key="distil with these").click().run()
    assert not app.exception and app.selectbox(key=f"distil method {run_id} images").value == "selfsup"


@pytest.mark.parametrize("ending", [Stopped(0), Failed("The disk is full.", "", 0)])
def test_ended_training_of_a_teacher_can_go_on(store, visit, ending):
    run_id = selfsup.training_teacher(store)
    store.append(run_id, [ending])
    app = visit("runs", run=run_id)
    assert "Resume" in buttons(app) and "expert" not in canned.words(app)


def test_distilling_run_shows_its_teacher_until_the_first_step(store, visit):
    app = visit("runs", run=selfsup.training_teacher(store, action="distill"))
    assert "A network trained on the images without labels" in canned.words(app) and len(charts(app)) == 2


def test_lists_and_compare_take_a_teacher_for_a_run_without_scores(store, visit):
    run_id = selfsup.taught(store)
    assert "1 teacher" in canned.words(visit("runs"))
    canned.finished(store)
    assert f"Run {run_id} only trained its teacher, so it has no scores." in canned.words(visit("compare", run=run_id))


# ---- before a start ----


def form(visit) -> AppTest:
    app = visit("distill")
    app.selectbox(key="distil method  images").set_value("selfsup").run()
    assert not app.exception
    return app


def test_distil_page_trains_a_teacher_only(store, visit):
    app = form(visit)
    text = canned.words(app)
    assert (
        "a class" not in text
        and any("without labels" in each.proto.help for each in app.markdown)
        and "k-means" not in text
        and "Record experts only" not in buttons(app)
    )
    assert "Train teacher only" in buttons(app)
    app.button(key="record experts").click().run()
    (row,) = store.runs()
    assert (row.action, row.method) == ("record", "selfsup") and not app.exception


@pytest.mark.parametrize(
    ("num_recorded", "sentence"),
    [(0, "1 teacher to record: 1.20 MB and about 1 min."), (1, "The teacher is recorded already.")],
)
def test_plan_tells_whether_the_teacher_is_there(store, visit, monkeypatch, num_recorded, sentence):
    seconds = 0.0 if num_recorded else 60.0
    found = replace(
        engine.Trials.answer,
        num_experts=1,
        num_recorded=num_recorded,
        seconds_recording=seconds,
        expert_bytes=1_200_000,
    )
    monkeypatch.setattr(engine.Trials, "answer", found)
    text = canned.words(form(visit)).replace("**", "")
    assert sentence in text and ("1 min to train the teacher" in text) == (not num_recorded)
    assert "expert" not in text


def test_a_teacher_may_come_from_a_file_which_is_looked_for_before_the_start(store, visit):
    app = form(visit)
    (teacher,) = (box for box in app.selectbox if box.label == "Teacher")
    teacher.set_value("torchvision").run()
    (network,) = (box for box in app.selectbox if box.label == "ResNet")
    (file,) = (text for text in app.text_input if text.label == "Weights file")
    assert not network.disabled and not file.disabled and network.options == ["ResNet18", "ResNet50"]
    assert "no weights file is named. Give the path of a .safetensors or .pth file" in canned.words(app)
    file.set_value("nowhere.pth").run()
    assert "There is no teacher's weights file 'nowhere.pth'." in canned.words(app)
    assert app.button(key="start").disabled and not app.exception


def test_form_offers_data_sets_to_transfer_to_and_changes_of_the_images(store, visit):
    boxes = {box.label: box.options for box in form(visit).multiselect}
    images = [engine.titles.source(key) for key, source in engine.sources().items() if source.kind == "images"]
    assert images == boxes["Transfer to"]
    assert "Rotated by 90°" in boxes["Augmentations"]


# ---- the result ----


def test_live_run_shows_loss_pictures_and_what_is_known_of_its_bases(store, visit):
    run_id = selfsup.running(store)
    app = visit("runs", run=run_id)
    text = canned.words(app)
    assert "Accuracy, validation" in text and "Random real, equal bytes 62.0 %" in text
    assert [tab.label for tab in app.tabs] == ["Result", "Curves", "Representations", "Teacher"]
    assert "Spectrum of the principal components" in text and "Representations of augmented images" in text
    assert "Map of the representations" not in text, "it is made at the end"
    way = app.get("button_group")[0]
    assert way.options == ["Images", "Bases", "Reconstruction"]


@pytest.mark.parametrize(("way", "sentence"), [("Bases", "12 bases · "), ("Reconstruction", "Real and distilled · ")])
def test_the_set_can_be_seen_as_bases_and_beside_what_it_began_as(store, visit, way, sentence):
    run_id = selfsup.running(store)
    app = visit("runs", run=run_id)
    app.get("button_group")[0].set_value(way).run()
    assert not app.exception
    assert app.image[0].captions[0].startswith(sentence)


def test_whole_images_have_no_bases_to_look_at(store, visit):
    app = visit("runs", run=selfsup.running(store, has_bases=False))
    assert app.get("button_group")[0].options == ["Images", "Reconstruction"]


def test_an_evaluation_alone_keeps_no_picture_of_the_start_and_shows_the_images(store, visit):
    done = selfsup.finished(store)
    (store.folder(done) / "result.safetensors").write_bytes(b"set")
    run_id = store.submit(selfsup.request(action="evaluate", start=done), status="running")
    store.append(run_id, [selfsup.preview(canned.TOTAL)])
    selfsup.probed(store, run_id)
    store.append(run_id, [Finished({"labels": "none", "num_bytes": 9000, "step": canned.TOTAL})])
    for page in ("runs", "gallery", "compare"):
        visit(page, run=run_id)


def test_finished_run_leads_with_linear_probes(store, visit):
    app = visit("runs", run=selfsup.finished(store))
    text = canned.words(app)
    assert "Distilled, linear probe 86.0 % ± 1.0, n = 3" in text and "Random initialisation 55.0 %" in text
    assert "Map of the representations" in text and "k-means" not in text
    assert "Start from this result" not in app.get("menu_button")[0].options if app.get("menu_button") else True


def test_gallery_shows_bases_reconstruction_and_a_time_lapse(store, visit):
    app = visit("gallery", run=selfsup.finished(store))
    ways = app.get("button_group")[0]
    assert ways.options == ["Images", "Bases", "Reconstruction", "Time-lapse"]
    for way in ways.options:
        app.get("button_group")[0].set_value(way).run()
        assert not app.exception


# ---- the comparison ----


def test_compare_says_the_outcome_in_words_without_labels(store, visit):
    app = visit("compare", run=selfsup.finished(store))
    text = canned.words(app).replace("**", "")
    assert "Linear-probe accuracy on test images is 86.0 % after pre-training on 20 distilled images" in text
    assert (
        "On 25 random real images of equal bytes with the teacher's representations, it is 74.0 %. Without "
        "pre-training, it is 55.0 %." in text
    )
    assert "On all 1,294 real images, it is 93.0 %. For the teacher itself, it is 95.0 %." in text
    assert "Retention 92.5 % linear probe" in text and "Compression" in text
    assert "Benchmark scores" not in text and "DD-Ranking" not in text and "uses the linear probe" in text


def test_compare_has_transfer_and_likeness_tables(store, visit):
    app = visit("compare", run=selfsup.finished(store))
    text, shown = canned.words(app), tables(app)
    assert "Transfer" in text and "Similarity to the teacher" in text
    assert "Fashion-MNIST" in shown and "66.0 ± 0.0 %" in shown and "Digits, its own" in shown
    assert "Fashion-MNIST, fine-tuned" in shown and "76.0 ± 0.0 %" in shown
    assert "Linear CKA" in shown and "0.810 ± 0.000" in shown
    assert "Nearest neighbours" in shown and "Fine-tuned" in shown


def test_a_byte_budget_says_what_it_holds_and_which_augmentations_were_kept_and_why():
    found = representations._budget({"budget": selfsup.BUDGET})
    said = " ".join(section.text for section in found.of if isinstance(section, Sentence))
    assert "9.10 kB hold 20 images with representations, as sums of 12 and 6 bases: the most that fit" in said
    assert "networks of 1 of 2 augmentations fit into what is left: those with the smallest error" in said
    table = next(section for section in found.of if isinstance(section, Table)).columns
    assert table == {"Augmentation": ["Blur", "Rotate 90"], "Error left": ["5.0 %", "40.0 %"], "Kept": ["yes", "no"]}


def test_runs_without_labels_are_compared_with_each_other_and_with_labelled_ones(store, visit):
    first, second, labelled = selfsup.finished(store), selfsup.finished(store, better=0.02), canned.finished(store)
    app = visit("compare", run=[first, second])
    assert app.get("button_group")[0].options == ["Linear probe", "Nearest neighbours", "Fine-tuned"]
    assert "86.0 %" in tables(app) and "88.0 %" in tables(app)
    app = visit("compare", run=[first, labelled])
    assert set(app.get("button_group")[0].options) >= {"Own recipe", "Linear probe"}


def test_labelled_runs_are_offered_no_probes(store, visit):
    app = visit("compare", run=[canned.finished(store), canned.finished(store, better=0.02)])
    assert app.get("button_group")[0].options == ["Own recipe", "Standard training"]


# ---- on disk ----


def keep_teacher(store: engine.Store) -> str:
    curve = (Point(epoch=3, train_loss=0.1, accuracy=0.8, seconds=1.0),)
    probed = (Probed(split="validation", accuracy=0.85),)
    networks = {0: Network(file="teacher.safetensors", hash="ab", curve=curve, probed=probed)}
    about = {
        "source": "Digits",
        "title": "Barlow Twins, ConvNet-D3",
        "num_params": 100,
        "num_epochs": 3,
        "num_dims": 16,
    }
    manifest = Manifest(kind="teachers", key={}, networks=networks, **about)
    Recording(store.root / "cache" / "teachers" / "0123abcd", manifest).write()
    return "0123abcd"


def asking(store: engine.Store) -> AppTest:
    """The dialog alone, kept open."""

    def script():
        import engine
        from pages.ui import pretrained, services

        for found in engine.pretrained.recordings(services.store().root / "cache"):
            pretrained.delete(found)

    return AppTest.from_function(script, default_timeout=60).run()


def test_system_page_lists_teachers_and_deletes_one_after_asking(store, visit):
    assert "No experts or teachers yet." in canned.words(visit("system"))
    digest = keep_teacher(store)
    app = visit("system")
    assert "Barlow Twins, ConvNet-D3" in canned.words(
        app
    ) and "1 teacher trained for 3 epochs · 85.0 % on validation images with a linear probe" in canned.words(app)
    app.button(key=f"delete pretrained {digest}").click().run()
    assert app.button(key="confirm delete pretrained") and engine.pretrained.recordings(store.root / "cache")
    asked = asking(store)
    asked.button(key="confirm delete pretrained").click().run()
    assert not asked.exception and not engine.pretrained.recordings(store.root / "cache")


def test_teacher_that_a_waiting_run_may_use_is_not_deleted(store, visit):
    digest = keep_teacher(store)
    store.submit(selfsup.request())
    app = visit("system")
    app.button(key=f"delete pretrained {digest}").click().run()
    assert app.button(key="confirm delete pretrained").disabled and "0001" in canned.words(app)


def test_picture_of_the_bases_can_be_taken_home_where_there_are_some(store, visit, monkeypatch):
    monkeypatch.setattr(engine.export, "refusal", lambda store, run_id: "")
    names = {}
    for has_bases in (True, False):
        run_id = selfsup.running(store, has_bases=has_bases)
        (store.folder(run_id) / "result.safetensors").write_bytes(b"set")
        names[has_bases] = {button.label for button in visit("runs", run=run_id).get("download_button")}
    assert "Picture of the bases (.png)" in names[True] - names[False]
