"""Teachers: networks trained on images alone, whose representations are distilled."""

from engine.pretrained.teachers.config import TeacherConfig
from engine.pretrained.teachers.teacher import Teacher, of_training
from engine.pretrained.teachers.trainer import load_or_train, plan, try_teacher

__all__ = ["Teacher", "TeacherConfig", "load_or_train", "of_training", "plan", "try_teacher"]
