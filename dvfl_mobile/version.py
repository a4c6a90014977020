"""The version of dvfl-mobile, which every document and artifact names."""

__version__ = "0.1.0"
