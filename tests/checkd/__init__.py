"""Tests of checkd."""
