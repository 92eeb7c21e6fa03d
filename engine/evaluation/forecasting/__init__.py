"""Forecasting: how good are students that were trained on distilled windows, and what do these windows give away?"""
