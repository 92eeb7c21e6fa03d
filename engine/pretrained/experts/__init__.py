"""Experts: networks trained on the real data whose weights are kept after every epoch, for students to follow."""

from engine.pretrained.experts.buffer import Buffer, BufferInfo, delete_buffer, list_buffers
from engine.pretrained.experts.config import ExpertsConfig
from engine.pretrained.experts.cost import plan
from engine.pretrained.experts.record import disk_bytes, load_or_record

__all__ = [
    "Buffer",
    "BufferInfo",
    "ExpertsConfig",
    "delete_buffer",
    "disk_bytes",
    "list_buffers",
    "load_or_record",
    "plan",
]
