"""What imported images and imported prices share: the library on disk, limits, and the reading of folders and zip files."""
