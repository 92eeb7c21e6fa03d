"""Compare: a network trained on the distilled set against few real samples and all of them.

One run (?run=0007), several (?run=0007&run=0009), or the runs of a sweep (?sweep=ab12cd34).
"""

from collections.abc import Sequence

import streamlit as st

import engine
from engine.results import names
from pages.ui import cards, compared, frame, glossary, parts, services, sweep, words

frame.ensure()


def choose(rows: Sequence[engine.RunRow]) -> list[engine.RunRow]:
    """The picked runs; at first those in the address, the ticked ones, or the newest with scores."""
    by_id = {row.id: row for row in rows}
    # the store raises an error for a run that does not exist
    named = {row.id: row for row in map(services.store().run, st.query_params.get_all("run"))}
    for run_id, row in named.items():
        if run_id not in by_id:
            recorded = f"only trained its {engine.titles.recorded(row.method)}, so it has no scores"
            why = recorded if row.action == "record" else "has not started yet"
            st.info(f"Run {words.escaped(run_id)} {why}.", icon=":material/schedule:")
    wanted = [run_id for run_id in named if run_id in by_id]
    if not named:
        wanted = [row.id for row in cards.ticked(rows)]
    newest = next((row.id for row in rows if row.status == "done"), rows[0].id)
    titles = {run_id: f"{run_id} · {names.run_title(row)}" for run_id, row in by_id.items()}
    key, hint = f"compared runs {list(named) or wanted}", "Choose one or several runs"
    start = wanted or [newest]
    picked = st.multiselect("Runs", list(by_id), start, lambda run_id: titles[run_id], key=key, placeholder=hint)
    return [by_id[run_id] for run_id in picked]


with services.said_plainly():
    st.title("Compare", anchor=False, help=glossary.explained("training set", "student", "baseline", "protocol"))
    begun = [row for row in services.store().runs() if row.status != "queued" and row.action != "record"]
    if sweep_id := st.query_params.get("sweep"):
        sweep.show(sweep_id)
    elif not begun:
        st.write("Compare training on a distilled set with training on real data, or several runs with each other.")
        for asked in st.query_params.get_all("run"):
            services.store().run(asked)
        parts.start_button()
    else:
        chosen = choose(begun)
        if len(chosen) == 1:
            compared.show_one(chosen[0])
        elif chosen:
            compared.show_together(chosen)
        else:
            st.caption("Choose at least one run.")
