"""Probing: how good are the representations that a network learned?"""
