"""Networks trained beforehand: experts and teachers, in one store that all runs share."""

from engine.pretrained.recording import RecordingPlan
from engine.pretrained.store import Recording, delete, find, recordings, state, verify

__all__ = ["Recording", "RecordingPlan", "delete", "find", "recordings", "state", "verify"]
