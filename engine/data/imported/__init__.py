"""Shared by imported images and prices: the library on disk, limits, and the reading of folders and zip files."""
