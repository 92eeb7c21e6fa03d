"""Runs: kept by the store, carried out by the worker."""
