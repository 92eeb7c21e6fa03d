"""Teachers: networks trained on images alone, whose representations are distilled."""

from engine.teachers.config import TeacherConfig
from engine.teachers.cost import try_teacher
from engine.teachers.load import load_or_train, num_dims
from engine.teachers.represented import of_training
from engine.teachers.store import TeacherInfo, delete_teacher, list_teachers, state_of_teachers
from engine.teachers.teacher import Teacher, of_set

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
