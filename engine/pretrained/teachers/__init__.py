"""Teachers: networks trained on images alone, whose representations are distilled."""

from engine.pretrained.teachers.config import TeacherConfig
from engine.pretrained.teachers.trainer import Teacher, TeacherTrainer, load_or_train, of_training, plan

__all__ = ["Teacher", "TeacherConfig", "TeacherTrainer", "load_or_train", "of_training", "plan"]
