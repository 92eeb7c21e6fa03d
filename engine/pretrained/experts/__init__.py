"""Experts: networks trained on the real data whose weights are kept after every epoch, for students to follow."""

from engine.pretrained.experts.buffer import Buffer
from engine.pretrained.experts.config import ExpertsConfig
from engine.pretrained.experts.trainer import ExpertTrainer, load_or_record, plan

__all__ = ["Buffer", "ExpertTrainer", "ExpertsConfig", "load_or_record", "plan"]
