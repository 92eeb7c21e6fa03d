"""The terms of the field. A page shows their explanations in a tooltip where they first appear."""

TERMS = {
    "student": "a network trained on the synthetic set",
    "expert": "a network trained on the real data beforehand, with its weights saved after every epoch",
    "teacher": "a network trained beforehand without labels; its outputs for an image are the image's representation",
    "outer step": "one update of the synthetic set",
    "inner step": "one update of a student's weights while it trains on the synthetic set",
    "retention": "the share of the full data set's accuracy that remains when training on the synthetic set",
    "gap closed": "how far the synthetic set comes from what takes no distilling (random real data of equal bytes, an "
    "untrained network, a naive forecast) to the full data set",
    "balanced accuracy": "the mean of the accuracies on each class, so that a large class does not outweigh the others",
    "protocol": "how students are trained: by the method's own recipe, by standard training (Adam on minibatches), or "
    "by the recipe of a paper",
    "images per class": "size of the synthetic set; with shared pixels, the number of whole images with as many values",
    "baseline": "what the synthetic set must beat: real samples of equal bytes, as many, or an untrained forecast",
    "training set": "what a student is trained on: the synthetic set, a small sample of the real data, or all of it",
}


def explained(*terms: str) -> str:
    """The terms with their meanings, one per line, as Markdown for a tooltip."""
    return "\n\n".join(f"**{term.capitalize()}**: {TERMS[term]}." for term in terms)
