"""Teachers: networks trained on images alone, whose representations are distilled."""

from engine.pretrained.teachers.config import TeacherConfig
from engine.pretrained.teachers.cost import try_teacher
from engine.pretrained.teachers.load import load_or_train, num_dims
from engine.pretrained.teachers.represented import of_training
from engine.pretrained.teachers.store import TeacherInfo, delete_teacher, list_teachers, state_of_teachers
from engine.pretrained.teachers.teacher import Teacher, of_set

__all__ = [
    "Teacher",
    "TeacherConfig",
    "TeacherInfo",
    "delete_teacher",
    "list_teachers",
    "load_or_train",
    "num_dims",
    "of_set",
    "of_training",
    "state_of_teachers",
    "try_teacher",
]
