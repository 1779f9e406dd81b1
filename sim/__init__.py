"""Deterministic simulation: the real cores of whole clusters under one seed, with every fault the seed asks for."""
