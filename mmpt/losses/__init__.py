"""Training objectives under the names that YAML files use.

A loss takes what it reads as keyword arguments, ignores the rest of a batch, and returns its parts by name; what is
minimised is their sum, `mmpt.losses.base.total`.
"""
